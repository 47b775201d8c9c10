// The task that every queue is given, and the conversation with benchmarks/foreign.py.
'use strict'

const { writeFileSync } = require('node:fs')
const { createInterface } = require('node:readline')

// The monotonic clock, as in benchmarks/work.py.
exports.noOp = ({ mark }) => {
  if (mark) writeFileSync(mark, String(process.hrtime.bigint()))
}

// Answers each line once its jobs are queued: {"how": "each" or "many", "orders": [{"n": 1, "mark": null}]}.
const produce = async ({ put, putMany, close }) => {
  for await (const line of createInterface({ input: process.stdin })) {
    const { how, orders } = JSON.parse(line)
    if (how === 'many') await putMany(orders)
    else for (const order of orders) await put(order)
    process.stdout.write('done\n')
  }
  await close()
}

// `produce URL` or `work URL` on the command line.
exports.main = ({ producer, work }) => {
  const [what, url] = process.argv.slice(2)
  const begun = what === 'produce' ? producer(url).then(produce) : work(url)
  begun.catch((error) => {
    console.error(error)
    process.exit(1)
  })
}
