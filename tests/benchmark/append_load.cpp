/// Appends to a log as fast as it is acknowledged, for `scripts/bench log`: to a troupe node through HTTP, or to
/// reference/three_replica_writer in its own words.
///
///   append_load http HOST PORT PATH TOKEN_FILE LINE_BYTES BATCH_LINES CONNECTIONS SECONDS
///   append_load plain HOST PORT - - LINE_BYTES BATCH_LINES CONNECTIONS SECONDS
///
/// Each connection has one request under way. Prints a line of JSON: requests, seconds, bytes_per_second,
/// records_per_second, p50_us, p99_us, gap_us (the longest time without any acknowledgement), errors.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

struct totals {
  std::mutex mutex;
  std::vector<std::uint32_t> times_us;
  std::uint64_t errors = 0;
  clock_type::time_point last = clock_type::now();
  clock_type::duration gap{};

  void acknowledged(clock_type::time_point begun) {
    const std::lock_guard lock(mutex);
    const auto now = clock_type::now();
    times_us.push_back(
        static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(now - begun).count()));
    gap = std::max(gap, now - last);
    last = now;
  }
};

int connect_to(const char* host, const char* port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const timeval patience{10, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
  ::inet_pton(AF_INET, host, &address.sin_addr);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  ::close(fd);
  return -1;
}

bool send_all(int fd, std::string_view data) {
  while (!data.empty()) {
    const auto sent = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    data.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

/// One answer with its body; its status, or 0 when the connection is no good any more.
int read_http_answer(int fd, std::string& buffer) {
  buffer.clear();
  char piece[4096];
  std::size_t head_end = std::string::npos, length = 0;
  for (;;) {
    if (head_end == std::string::npos) {
      head_end = buffer.find("\r\n\r\n");
      if (head_end != std::string::npos) {
        std::string head = buffer.substr(0, head_end);
        std::transform(head.begin(), head.end(), head.begin(), [](unsigned char c) { return std::tolower(c); });
        const auto field = head.find("content-length:");
        if (field == std::string::npos) return 0;
        length = std::strtoull(head.c_str() + field + 15, nullptr, 10);
      }
    }
    if (head_end != std::string::npos && buffer.size() >= head_end + 4 + length) break;
    const auto got = ::recv(fd, piece, sizeof piece, 0);
    if (got <= 0) return 0;
    buffer.append(piece, static_cast<std::size_t>(got));
  }
  return std::atoi(buffer.c_str() + 9);
}

bool read_plain_answer(int fd) {
  char answer[8];
  std::size_t have = 0;
  while (have < sizeof answer) {
    const auto got = ::recv(fd, answer + have, sizeof answer - have, 0);
    if (got <= 0) return false;
    have += static_cast<std::size_t>(got);
  }
  return true;
}

std::string uuid() {
  static std::random_device random;
  char text[37];
  std::snprintf(text, sizeof text, "%08x-%04x-4%03x-8%03x-%04x%08x", random(), random() & 0xffff, random() & 0xfff,
                random() & 0xfff, random() & 0xffff, random());
  return text;
}

struct arguments {
  bool http;
  const char *host, *port, *path;
  std::string token;
  std::size_t line_bytes, batch_lines;
};

/// Lines of digits and spaces, none like the other: nothing here is compressed, but nobody should profit if it were.
std::string make_lines(const arguments& a) {
  std::mt19937_64 random(7);
  std::string out;
  out.reserve(a.line_bytes * a.batch_lines);
  while (out.size() < a.line_bytes * a.batch_lines) {
    std::string line;
    while (line.size() < a.line_bytes) line += std::to_string(random()) + " ";
    line.resize(a.line_bytes - 1);
    out += line + "\n";
  }
  return out;
}

void run(const arguments& a, const std::string& lines, clock_type::time_point end, totals& all) {
  const auto producer = uuid();
  std::uint64_t sequence = 1;
  std::string request, answer;
  int fd = -1;
  auto begun = clock_type::now();
  while (clock_type::now() < end) {
    if (fd < 0) fd = connect_to(a.host, a.port);
    bool good = fd >= 0;
    if (good && a.http) {
      request = "POST " + std::string(a.path) + " HTTP/1.1\r\nHost: " + a.host + ":" + a.port +
                "\r\nAuthorization: Bearer " + a.token + "\r\nTroupe-Producer: " + producer +
                "\r\nTroupe-Sequence: " + std::to_string(sequence) +
                "\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(lines.size()) + "\r\n\r\n";
      request += lines;
      good = send_all(fd, request);
      const int status = good ? read_http_answer(fd, answer) : 0;
      good = status == 200;
      if (!good && all.errors < 3) std::fprintf(stderr, "append_load: %d %s\n", status, answer.c_str());
      if (status == 0 && fd >= 0) {
        ::close(fd);
        fd = -1;
      }
    } else if (good) {
      const auto length = static_cast<std::uint32_t>(lines.size());
      request.assign(reinterpret_cast<const char*>(&length), sizeof length);
      request += lines;
      good = send_all(fd, request) && read_plain_answer(fd);
    }
    if (!good) {
      {
        const std::lock_guard lock(all.mutex);
        ++all.errors;
      }
      if (!a.http) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      continue;  // the same sequence again, in the same append's time
    }
    all.acknowledged(begun);
    ++sequence;
    begun = clock_type::now();
  }
  if (fd >= 0) ::close(fd);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 10) {
    std::fputs("append_load (http|plain) HOST PORT PATH TOKEN_FILE LINE_BYTES BATCH_LINES CONNECTIONS SECONDS\n",
               stderr);
    return 2;
  }
  arguments a{std::string_view(argv[1]) == "http", argv[2], argv[3], argv[4], {}, std::strtoull(argv[6], nullptr, 10),
              std::strtoull(argv[7], nullptr, 10)};
  if (a.http) {
    std::ifstream in(argv[5]);
    in >> a.token;
  }
  const auto connections = std::strtoull(argv[8], nullptr, 10);
  const auto seconds = std::strtod(argv[9], nullptr);
  const auto lines = make_lines(a);
  totals all;
  const auto begin = clock_type::now();
  const auto end = begin + std::chrono::duration_cast<clock_type::duration>(std::chrono::duration<double>(seconds));
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < connections; ++i) threads.emplace_back([&] { run(a, lines, end, all); });
  for (auto& t : threads) t.join();
  const auto took = std::chrono::duration<double>(clock_type::now() - begin).count();
  auto& times = all.times_us;
  if (times.empty()) {
    std::fprintf(stderr, "append_load: nothing was acknowledged, %llu errors\n",
                 static_cast<unsigned long long>(all.errors));
    return 1;
  }
  std::sort(times.begin(), times.end());
  const auto requests = static_cast<double>(times.size());
  std::printf(
      "{\"requests\": %zu, \"seconds\": %.3f, \"bytes_per_second\": %.0f, \"records_per_second\": %.0f, \"p50_us\": "
      "%u, "
      "\"p99_us\": %u, \"gap_us\": %lld, \"errors\": %llu}\n",
      times.size(), took, requests * static_cast<double>(lines.size()) / took,
      requests * static_cast<double>(a.batch_lines) / took, times[times.size() / 2], times[times.size() * 99 / 100],
      static_cast<long long>(std::chrono::duration_cast<std::chrono::microseconds>(all.gap).count()),
      static_cast<unsigned long long>(all.errors));
}
