'use strict'

const PgBoss = require('pg-boss')
const { main, noOp } = require('./common.js')

const QUEUE = 'no-op'
const BATCH = 100

const started = async (connectionString, supervise) => {
  const boss = new PgBoss({ connectionString, supervise, schedule: false })
  boss.on('error', console.error)
  await boss.start()
  return boss
}

main({
  async producer (connectionString) {
    const boss = await started(connectionString, false)
    await boss.createQueue(QUEUE)
    return {
      put: (order) => boss.send(QUEUE, order),
      putMany: (orders) => boss.insert(orders.map((data) => ({ name: QUEUE, data }))),
      close: () => boss.stop({ graceful: false })
    }
  },

  async work (connectionString) {
    const boss = await started(connectionString, true)
    // By itself it takes one batch in each interval, of which this is the shortest; after work it is told to look again.
    const worker = await boss.work(QUEUE, { batchSize: BATCH, pollingIntervalSeconds: 0.5 }, async (jobs) => {
      for (const { data } of jobs) noOp(data)
      boss.notifyWorker(worker)
    })
  }
})
