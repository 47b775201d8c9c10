# frozen_string_literal: true

# What Sidekiq loads; by itself it answers benchmarks/foreign.py as common.js does.
require "json"
require "sidekiq"

# Else each enqueue writes a line of warning: this Sidekiq is older than the Redis client beside it in Debian.
Redis.silence_deprecations = true
options = {url: ENV.fetch("BENCH_REDIS")}
Sidekiq.configure_client { |config| config.redis = options }
Sidekiq.configure_server do |config|
  config.redis = options
  config.logger.level = Logger::WARN
end

class NoOp
  include Sidekiq::Worker

  # The monotonic clock, as in benchmarks/work.py.
  def perform(_number, mark)
    File.write(mark, Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond).to_s) if mark
  end
end

def queue(how, orders)
  arguments = orders.map { |order| [order["n"], order["mark"]] }
  return NoOp.perform_bulk(arguments) if how == "many"

  arguments.each { |number, mark| NoOp.perform_async(number, mark) }
end

if $PROGRAM_NAME == __FILE__
  $stdout.sync = true
  $stdin.each_line do |line|
    asked = JSON.parse(line)
    queue(asked["how"], asked["orders"])
    puts "done"
  end
end
