// Thousands of rude connections from one process, for `scripts/bench rude`:
//   rude_peers HOST PORT CONNECTIONS OPENED_PER_SECOND
// Keeps so many connections (open or being opened) to a node: silent ones, random bytes, requests that announce 4 GiB,
// handshakes of impossible length, broken handshakes, and requests that come a byte at a time. What the node closes is
// opened again, at most so many in a second. Each has one of 250 source addresses when HOST is 127.x.x.x. Ends with its
// standard input, and then prints what there was as JSON.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

using std::chrono::steady_clock;

constexpr std::string_view slow_request =
    "GET /api/v1/cluster HTTP/1.1\r\nHost: somewhere\r\nX-Padding: aaaaaaaaaaaaaaaaaaaa";
constexpr std::size_t kinds = 6;
constexpr std::size_t slow_kind = 5;
constexpr std::uint64_t standard_input = ~0ull;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

std::string rubbish(std::size_t kind, std::mt19937_64& random) {
  std::string bytes(1024, '\0');
  for (auto& c : bytes) c = static_cast<char>(random());
  const std::string magic("\x89TRP\r\n\x1a\n", 8);
  switch (kind) {
    case 0:
      return {};  // says nothing
    case 1:
      return bytes;
    case 2:
      return "POST /api/v1/jobs HTTP/1.1\r\nHost: somewhere\r\nContent-Length: 4294967296\r\n\r\n" + bytes;
    case 3:
      return magic + "\xff\xff\xff\xff" + bytes;
    case 4:
      return magic + bytes;
    default:
      return std::string(slow_request.substr(0, 1));
  }
}

struct peers {
  sockaddr_in to{};
  int poll = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<int> open;          ///< by peer; -1: to be opened
  std::vector<std::size_t> said;  ///< by peer: of the slow request
  std::deque<std::size_t> to_be_opened;
  std::mt19937_64 random{20261123};
  std::array<std::string, kinds> words;
  std::uint64_t opened = 0, refused = 0, closed_by_node = 0;

  void begin(std::size_t i);
  void event(std::size_t i, std::uint32_t what);
  void end(std::size_t i, std::uint64_t& counter) {
    ::close(open[i]);
    open[i] = -1;
    to_be_opened.push_back(i);
    ++counter;
  }
};

void peers::begin(std::size_t i) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  if ((ntohl(to.sin_addr.s_addr) >> 24) == 127) {
    sockaddr_in from{};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl(0x7f000200u + 2 + static_cast<std::uint32_t>(i % 250));
    const int yes = 1;
    ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0) die("bind to 127.0.2.x");
  }
  open[i] = fd;
  said[i] = 1;
  ++opened;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 && errno != EINPROGRESS) {
    end(i, refused);
    return;
  }
  epoll_event e{};
  e.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  e.data.u64 = i;
  if (::epoll_ctl(poll, EPOLL_CTL_ADD, fd, &e) != 0) die("epoll_ctl");
}

void peers::event(std::size_t i, std::uint32_t what) {
  if (open[i] < 0) return;
  if (what & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) {
    end(i, closed_by_node);
    return;
  }
  if (what & EPOLLIN) {
    char buffer[4096];
    if (::recv(open[i], buffer, sizeof buffer, 0) == 0) {
      end(i, closed_by_node);
      return;
    }
  }
  if (what & EPOLLOUT) {
    const auto& bytes = words[i % kinds];
    if (!bytes.empty() && ::send(open[i], bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0 && errno != EAGAIN)
      end(i, closed_by_node);
  }
}

int run(const char* host, const char* port, std::size_t count, double per_second) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  peers all;
  all.to.sin_family = AF_INET;
  all.to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
  if (::inet_pton(AF_INET, host, &all.to.sin_addr) != 1) die(host);
  for (std::size_t k = 0; k < kinds; ++k) all.words[k] = rubbish(k, all.random);
  all.open.assign(count, -1);
  all.said.assign(count, 0);
  for (std::size_t i = count; i-- > 0;) all.to_be_opened.push_back(i);
  epoll_event input{};
  input.events = EPOLLIN | EPOLLHUP;
  input.data.u64 = standard_input;
  if (::epoll_ctl(all.poll, EPOLL_CTL_ADD, 0, &input) != 0) die("standard input");

  const auto begun = steady_clock::now();
  auto drip = begun;
  double allowed = 0;
  auto last = begun;
  std::array<epoll_event, 256> events;
  for (bool going = true; going;) {
    const int n = ::epoll_wait(all.poll, events.data(), events.size(), 5);
    if (n < 0 && errno != EINTR) die("epoll_wait");
    for (int k = 0; k < n; ++k) {
      if (events[static_cast<std::size_t>(k)].data.u64 == standard_input) {
        char byte;
        going = ::read(0, &byte, 1) > 0;
        continue;
      }
      all.event(events[static_cast<std::size_t>(k)].data.u64, events[static_cast<std::size_t>(k)].events);
    }
    const auto now = steady_clock::now();
    allowed = std::min(allowed + std::chrono::duration<double>(now - last).count() * per_second, per_second / 20 + 1);
    last = now;
    for (; allowed >= 1 && !all.to_be_opened.empty(); allowed -= 1) {
      const auto i = all.to_be_opened.front();
      all.to_be_opened.pop_front();
      all.begin(i);
    }
    if (now - drip < std::chrono::milliseconds(200)) continue;
    drip = now;  // the slow ones say their next byte
    for (std::size_t i = slow_kind; i < count; i += kinds)
      if (all.open[i] >= 0 && all.said[i] < slow_request.size() &&
          ::send(all.open[i], &slow_request[all.said[i]++], 1, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
        all.end(i, all.closed_by_node);
  }
  std::printf("{\"opened\": %llu, \"refused\": %llu, \"closed_by_node\": %llu, \"seconds\": %.3f}\n",
              static_cast<unsigned long long>(all.opened), static_cast<unsigned long long>(all.refused),
              static_cast<unsigned long long>(all.closed_by_node),
              std::chrono::duration<double>(steady_clock::now() - begun).count());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: rude_peers HOST PORT CONNECTIONS OPENED_PER_SECOND\n");
    return 2;
  }
  return run(argv[1], argv[2], std::strtoul(argv[3], nullptr, 10), std::strtod(argv[4], nullptr));
}
