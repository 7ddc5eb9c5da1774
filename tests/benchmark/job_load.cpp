/// Runs the same small job again and again, for `scripts/bench many_jobs`:
///
///   job_load HOST PORT TOKEN_FILE JOB INPUT IN_FLIGHT JOBS
///
/// Each of IN_FLIGHT connections submits a job, waits for its end and submits the next. Prints a line of JSON: jobs,
/// seconds, p50_us, p99_us, errors.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

struct arguments {
  const char *host, *port;
  std::string token, job, input;
};

/// One connection that is kept.
class client {
 public:
  explicit client(const arguments& a) : to_(a) {}
  ~client() {
    if (fd_ >= 0) ::close(fd_);
  }
  /// The status, or 0 when the connection is no good any more; the body is in `answer`.
  int call(const std::string& method, const std::string& path, const std::string& body) {
    if (fd_ < 0 && !dial()) return 0;
    const auto request = method + " /api/v1" + path + " HTTP/1.1\r\nHost: " + to_.host + ":" + to_.port +
                         "\r\nAuthorization: Bearer " + to_.token + "\r\nContent-Type: application/json" +
                         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    const int status = send_all(request) ? read_answer() : 0;
    if (status == 0) {
      ::close(fd_);
      fd_ = -1;
    }
    return status;
  }
  std::string answer;

 private:
  bool dial() {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const timeval patience{60, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(to_.port)));
    ::inet_pton(AF_INET, to_.host, &address.sin_addr);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return true;
    ::close(fd_);
    fd_ = -1;
    return false;
  }
  bool send_all(std::string_view data) const {
    while (!data.empty()) {
      const auto sent = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      data.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  /// An answer with Content-Length, which is what this API gives for jobs.
  int read_answer() {
    buffer_.clear();
    char piece[4096];
    std::size_t head_end = std::string::npos, length = 0;
    for (;;) {
      if (head_end == std::string::npos && (head_end = buffer_.find("\r\n\r\n")) != std::string::npos) {
        std::string head = buffer_.substr(0, head_end);
        std::transform(head.begin(), head.end(), head.begin(), [](unsigned char c) { return std::tolower(c); });
        const auto field = head.find("content-length:");
        if (field == std::string::npos) return 0;
        length = std::strtoull(head.c_str() + field + 15, nullptr, 10);
      }
      if (head_end != std::string::npos && buffer_.size() >= head_end + 4 + length) break;
      const auto got = ::recv(fd_, piece, sizeof piece, 0);
      if (got <= 0) return 0;
      buffer_.append(piece, static_cast<std::size_t>(got));
    }
    answer = buffer_.substr(head_end + 4, length);
    return std::atoi(buffer_.c_str() + 9);
  }
  const arguments& to_;
  std::string buffer_;
  int fd_ = -1;
};

/// The value of `"name":` in a JSON text that the node wrote, as it stands.
std::string_view field(std::string_view json, const std::string& name) {
  const auto at = json.find("\"" + name + "\":");
  if (at == json.npos) return {};
  json.remove_prefix(at + name.size() + 3);
  if (json.starts_with('"')) json.remove_prefix(1);
  return json.substr(0, json.find_first_of(",\"}"));
}

/// One job from submission to its end.
bool run_job(client& c, const arguments& a, const std::string& output) {
  int status = c.call(
      "POST", "/jobs",
      R"({"job":")" + a.job + R"(","inputs":[")" + a.input + R"("],"output":")" + output + R"(","replace":true})");
  const std::string id(field(c.answer, "id"));
  while (status >= 200 && status < 300) {
    const auto state = field(c.answer, "state");
    if (state == "succeeded") return true;
    if (state != "queued" && state != "running") break;
    status = c.call("GET", "/jobs/" + id + "?wait_ms=10000", "");
  }
  static std::once_flag said;
  std::call_once(said, [&] { std::fprintf(stderr, "job_load: %d %s\n", status, c.answer.c_str()); });
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8) {
    std::fprintf(stderr, "usage: job_load HOST PORT TOKEN_FILE JOB INPUT IN_FLIGHT JOBS\n");
    return 2;
  }
  std::ifstream file(argv[3]);
  arguments a{argv[1], argv[2], std::string(std::istreambuf_iterator<char>(file), {}), argv[4], argv[5]};
  while (!a.token.empty() && static_cast<unsigned char>(a.token.back()) <= ' ') a.token.pop_back();
  const auto in_flight = std::atoi(argv[6]), jobs = std::atoi(argv[7]);
  std::atomic<int> taken{0}, errors{0};
  std::mutex mutex;
  std::vector<std::uint32_t> times_us;
  const auto begun = clock_type::now();
  std::vector<std::thread> threads;
  for (int i = 0; i < in_flight; ++i) {
    threads.emplace_back([&, output = "tiny_" + std::to_string(i)] {
      client c(a);
      while (taken.fetch_add(1) < jobs) {
        const auto begin = clock_type::now();
        if (!run_job(c, a, output)) ++errors;
        const auto took = std::chrono::duration_cast<std::chrono::microseconds>(clock_type::now() - begin);
        const std::lock_guard lock(mutex);
        times_us.push_back(static_cast<std::uint32_t>(took.count()));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const double seconds = std::chrono::duration<double>(clock_type::now() - begun).count();
  std::sort(times_us.begin(), times_us.end());
  const auto at = [&](std::size_t percent) {
    return times_us[std::min(times_us.size() - 1, times_us.size() * percent / 100)];
  };
  std::printf("{\"jobs\": %zu, \"seconds\": %.4f, \"p50_us\": %u, \"p99_us\": %u, \"errors\": %d}\n", times_us.size(),
              seconds, at(50), at(99), errors.load());
  return errors == 0 ? 0 : 1;
}
