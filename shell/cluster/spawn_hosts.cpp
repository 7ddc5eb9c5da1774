#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <shell/cluster/spawn_hosts.hpp>
#include <shell/display/progress.hpp>
#include <shell/session.hpp>
#include <thread>

namespace troupe::shell {
namespace {

/// What the threads have done and the main one has not said yet.
struct results {
  std::mutex mutex;
  std::condition_variable came;
  std::deque<spawned> fresh;

  void add(spawned one) {
    const std::lock_guard lock(mutex);
    fresh.push_back(std::move(one));
    came.notify_one();
  }
  spawned take() {
    std::unique_lock lock(mutex);
    came.wait(lock, [&] { return !fresh.empty(); });
    auto one = std::move(fresh.front());
    fresh.pop_front();
    return one;
  }
};

void start_on_host(const spawn_order& order, const std::vector<spawn_wish>& wishes, results& into) {
  auto installed = done();
  if (order.install) installed = install_programs(wishes.front().host, order.ssh_config);
  for (const auto& wish : wishes) {
    const auto begun = std::chrono::steady_clock::now();
    outcome<std::string> address = installed
                                       ? start_remote_node(wish.host, {wish.name, order.cluster.name, {}, order.join},
                                                           order.limits, order.token, order.ssh_config)
                                       : outcome<std::string>(installed.error());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    into.add({wish, std::move(address), took.count()});
  }
}

}  // namespace

std::vector<spawned> spawn_on_hosts(session& s, const spawn_order& order, const std::vector<spawn_wish>& wishes) {
  std::map<std::string, std::vector<spawn_wish>> by_host;
  for (const auto& wish : wishes) by_host[wish.host.typed].push_back(wish);
  results all;
  std::vector<std::thread> threads;
  for (const auto& [typed, some] : by_host)
    threads.emplace_back([&order, &all, &some = some] { start_on_host(order, some, all); });
  std::vector<spawned> out;
  while (out.size() < wishes.size()) {
    auto one = all.take();
    if (one.address)
      s.say(one.wish.name + " runs on " + one.wish.host.typed + " (" + *one.address + "), " +
            format_duration(one.seconds));
    else
      s.say(one.address.error().message);
    out.push_back(std::move(one));
  }
  for (auto& t : threads) t.join();
  return out;
}

}  // namespace troupe::shell
