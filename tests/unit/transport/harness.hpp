#pragma once
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <condition_variable>
#include <future>
#include <mutex>
#include <string>
#include <support/catch.hpp>
#include <thread>
#include <troupe/telemetry/log.hpp>
#include <troupe/telemetry/metrics.hpp>
#include <troupe/transport/connection.hpp>

namespace test {

using namespace troupe;
using namespace troupe::transport;
using namespace std::chrono_literals;

/// Looks again and again for some seconds: for what another thread does soon after what the test has seen.
template <class Condition>
bool eventually(Condition holds) {
  for (int i = 0; i < 500 && !holds(); ++i) std::this_thread::sleep_for(10ms);
  return holds();
}

/// A context with two threads, as in the daemon.
class background {
 public:
  background() {
    for (auto& t : threads_) t = std::thread([this] { context.run(); });
  }
  ~background() { end(); }
  /// No handler runs any more after this. Before anything goes that handlers refer to; the context itself goes after
  /// what was made with it.
  void end() {
    guard_.reset();
    context.stop();
    for (auto& t : threads_)
      if (t.joinable()) t.join();
  }
  /// Runs a coroutine on a strand of its own and waits for its value; 20 s at most.
  template <class T>
  T run(awaitable<T> work) {
    return wait(asio::co_spawn(asio::make_strand(context), std::move(work), asio::use_future));
  }
  template <class T>
  std::future<T> start(const asio::any_io_executor& on, awaitable<T> work) {
    return asio::co_spawn(on, std::move(work), asio::use_future);
  }
  template <class T>
  static T wait(std::future<T> future) {
    if (future.wait_for(20s) != std::future_status::ready) throw std::runtime_error("a coroutine hangs");
    return future.get();
  }

  asio::io_context context;

 private:
  asio::executor_work_guard<asio::io_context::executor_type> guard_ = asio::make_work_guard(context);
  std::thread threads_[2];
};

/// Waits until something said elsewhere has become true, without polling.
class signal_box {
 public:
  template <class F>
  void change(F f) {
    const std::lock_guard lock(mutex_);
    f();
    changed_.notify_all();
  }
  template <class Predicate>
  bool wait(Predicate p, std::chrono::milliseconds most = 10s) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, most, p);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

/// What was logged, and a way to wait for a line.
class log_catcher {
 public:
  log_catcher() {
    log.to_function([this](std::string_view line) { box_.change([&] { lines_.emplace_back(line); }); });
  }
  bool wait_for(std::string_view part) {
    return box_.wait([&] { return count(part) > 0; });
  }
  std::size_t count_now(std::string_view part) {
    std::size_t found = 0;
    box_.change([&] { found = count(part); });
    return found;
  }
  telemetry::logger log;

 private:
  std::size_t count(std::string_view part) const {
    std::size_t found = 0;
    for (const auto& line : lines_) found += line.find(part) != std::string::npos;
    return found;
  }
  signal_box box_;
  std::vector<std::string> lines_;
};

/// A plain blocking client that may be as rude as it likes.
class raw_client {
 public:
  explicit raw_client(const tcp::endpoint& to) : fd_(::socket(to.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    connected_ = fd_ >= 0 && ::connect(fd_, to.data(), static_cast<socklen_t>(to.size())) == 0;
  }
  ~raw_client() { close(); }
  raw_client(raw_client&& other) noexcept : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_) {}
  raw_client& operator=(raw_client&&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] int fd() const { return fd_; }
  bool send(std::string_view data) {
    while (!data.empty()) {
      const auto sent = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      data.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  /// Until `end` has been read, or the other side closes, or 10 s have passed.
  std::string read_until(std::string_view end) {
    std::string text;
    char piece[4096];
    while (end.empty() || text.find(end) == std::string::npos) {
      pollfd one{fd_, POLLIN, 0};
      if (::poll(&one, 1, 10'000) <= 0) return text + "<timeout>";
      const auto got = ::recv(fd_, piece, sizeof piece, 0);
      if (got <= 0) return text;
      text.append(piece, static_cast<std::size_t>(got));
    }
    return text;
  }
  std::string read_all() { return read_until({}); }
  /// The other side has closed (or does so within 10 s), and sent nothing before.
  bool closed_without_a_word() { return read_all().empty(); }
  void shutdown_send() { ::shutdown(fd_, SHUT_WR); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
  bool connected_ = false;
};

inline transport::identity make_identity(const cluster_id& cluster, std::uint64_t incarnation = 1) {
  return {cluster, member_id::random(), troupe::incarnation(incarnation), "0123456789abcdef-token"};
}

}  // namespace test
