'use strict'

const { Logger, makeWorkerUtils, run } = require('graphile-worker')
const { main, noOp } = require('./common.js')

const QUIET = new Logger(() => () => {})
const BULK = `SELECT graphile_worker.add_jobs(
  ARRAY(SELECT json_populate_recordset(null::graphile_worker.job_spec, $1::json)))`

main({
  async producer (connectionString) {
    const utils = await makeWorkerUtils({ connectionString, logger: QUIET })
    await utils.migrate()
    return {
      put: (order) => utils.addJob('no-op', order),
      putMany: (orders) => {
        const jobs = JSON.stringify(orders.map((payload) => ({ identifier: 'no-op', payload })))
        return utils.withPgClient((client) => client.query(BULK, [jobs]))
      },
      close: () => utils.release()
    }
  },

  work: (connectionString) =>
    run({ connectionString, logger: QUIET, concurrency: 10, taskList: { 'no-op': async (order) => noOp(order) } })
})
