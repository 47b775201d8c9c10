'use strict'

const { Queue, Worker } = require('bullmq')
const Redis = require('ioredis')
const { main, noOp } = require('./common.js')

const QUEUE = 'no-op'
const DONE = { removeOnComplete: true }
// Its workers wait with a blocking command, which must not be given up.
const connect = (url) => new Redis(url, { maxRetriesPerRequest: null })

main({
  async producer (url) {
    const queue = new Queue(QUEUE, { connection: connect(url) })
    return {
      put: (order) => queue.add('no-op', order, DONE),
      putMany: (orders) => queue.addBulk(orders.map((data) => ({ name: 'no-op', data, opts: DONE }))),
      close: async () => {
        await queue.close()
        process.exit()
      }
    }
  },

  async work (url) {
    new Worker(QUEUE, async ({ data }) => noOp(data), { connection: connect(url), concurrency: 10 })
  }
})
