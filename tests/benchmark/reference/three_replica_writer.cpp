/// The reference for replicated logs: what a good engineer writes in a day for this one purpose. A leader and two
/// followers over TCP on loopback, each with one file; a batch is acknowledged once fdatasync has returned for all
/// three.
///
///   three_replica_writer follower FILE PORT
///   three_replica_writer leader FILE PORT FOLLOWER_PORT FOLLOWER_PORT
///
/// A client sends `length (4 bytes), payload` and gets 8 bytes, the number of bytes that are durable, for each in turn.
/// There is no take-over, no repair and no recovery: a process that dies ends the run.
///
/// A batch goes to both followers and to the leader's own disk thread at once; each disk thread writes all that waits
/// for it with one pwritev and one fdatasync (group commit) into room that was reserved before, so that a sync records
/// no new size. Every batch has a CRC-32C, which followers check. Payloads are never copied.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nmmintrin.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t reserve_bytes = 64 << 20;
constexpr std::size_t group_batches_max = 512;  // two iovecs each; the kernel takes 1024
constexpr std::uint32_t payload_bytes_max = 8 << 20;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::_Exit(1);
}

struct header {
  std::uint32_t length = 0;
  std::uint32_t crc = 0;
  std::uint64_t end = 0;  // of the log, once this batch is in it
};

struct batch {
  header head;
  std::unique_ptr<char[]> payload;
};
using batch_ptr = std::shared_ptr<batch>;

std::uint32_t crc32c(const char* data, std::size_t size) {
  std::uint64_t crc = 0xffffffff;
  for (; size >= 8; size -= 8, data += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, data, 8);
    crc = _mm_crc32_u64(crc, word);
  }
  for (; size > 0; --size, ++data)
    crc = _mm_crc32_u8(static_cast<std::uint32_t>(crc), static_cast<unsigned char>(*data));
  return ~static_cast<std::uint32_t>(crc);
}

bool read_all(int fd, void* into, std::size_t size) {
  auto* at = static_cast<char*>(into);
  while (size > 0) {
    const auto got = ::recv(fd, at, size, 0);
    if (got <= 0) {
      if (got < 0 && errno == EINTR) continue;
      return false;
    }
    at += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

bool write_all(int fd, iovec* parts, std::size_t count) {
  while (count > 0) {
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = count;
    auto sent = ::sendmsg(fd, &message, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    for (; count > 0 && static_cast<std::size_t>(sent) >= parts->iov_len; ++parts, --count)
      sent -= static_cast<ssize_t>(parts->iov_len);
    if (count > 0) {
      parts->iov_base = static_cast<char*>(parts->iov_base) + sent;
      parts->iov_len -= static_cast<std::size_t>(sent);
    }
  }
  return true;
}

void add_parts(std::vector<iovec>& parts, batch& b) {
  parts.push_back({&b.head, sizeof b.head});
  parts.push_back({b.payload.get(), b.head.length});
}

/// Batches that wait for one thread, which takes all of them at once.
class queue {
 public:
  explicit queue(std::function<void(std::vector<batch_ptr>&)> work)
      : work_(std::move(work)), thread_([this] { run(); }) {}

  void push(batch_ptr b) {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(b));
    }
    woken_.notify_one();
  }

 private:
  void run() {
    std::vector<batch_ptr> group;
    for (;;) {
      group.clear();
      {
        std::unique_lock lock(mutex_);
        woken_.wait(lock, [&] { return !waiting_.empty(); });
        while (!waiting_.empty() && group.size() < group_batches_max) {
          group.push_back(std::move(waiting_.front()));
          waiting_.pop_front();
        }
      }
      work_(group);
    }
  }

  std::function<void(std::vector<batch_ptr>&)> work_;
  std::mutex mutex_;
  std::condition_variable woken_;
  std::deque<batch_ptr> waiting_;
  std::thread thread_;
};

class log_file {
 public:
  explicit log_file(const char* path) : fd_(::open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {
    if (fd_ < 0) die(path);
    reserve();
    if (::fsync(fd_) != 0) die("fsync");
  }

  void append(std::vector<batch_ptr>& group) {
    parts_.clear();
    std::size_t size = 0;
    for (const auto& b : group) {
      add_parts(parts_, *b);
      size += sizeof b->head + b->head.length;
    }
    while (size_ + size > reserved_) reserve();
    auto* parts = parts_.data();
    auto count = parts_.size();
    while (count > 0) {
      auto wrote = ::pwritev(fd_, parts, static_cast<int>(count), static_cast<off_t>(size_));
      if (wrote < 0) {
        if (errno == EINTR) continue;
        die("pwritev");
      }
      size_ += static_cast<std::size_t>(wrote);
      for (; count > 0 && static_cast<std::size_t>(wrote) >= parts->iov_len; ++parts, --count)
        wrote -= static_cast<ssize_t>(parts->iov_len);
      if (count > 0) {
        parts->iov_base = static_cast<char*>(parts->iov_base) + wrote;
        parts->iov_len -= static_cast<std::size_t>(wrote);
      }
    }
    if (::fdatasync(fd_) != 0) die("fdatasync");
  }

 private:
  void reserve() {
    if (::fallocate(fd_, 0, static_cast<off_t>(reserved_), static_cast<off_t>(reserve_bytes)) != 0) die("fallocate");
    reserved_ += reserve_bytes;
  }

  int fd_;
  std::size_t size_ = 0, reserved_ = 0;
  std::vector<iovec> parts_;
};

int socket_for(const char* port, bool listen_there) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* to = reinterpret_cast<sockaddr*>(&address);
  if (listen_there) {
    if (::bind(fd, to, sizeof address) != 0 || ::listen(fd, 128) != 0) die("listen");
    return fd;
  }
  for (int tries = 0; ::connect(fd, to, sizeof address) != 0; ++tries) {
    if (tries == 500) die("connect");
    ::usleep(10'000);
  }
  return fd;
}

int accept_one(int listener) {
  const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) die("accept");
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

int follow(const char* path, const char* port) {
  log_file file(path);
  const int leader = accept_one(socket_for(port, true));
  queue disk([&](std::vector<batch_ptr>& group) {
    for (const auto& b : group)
      if (crc32c(b->payload.get(), b->head.length) != b->head.crc) die("a batch arrived damaged");
    file.append(group);
    iovec ack{&group.back()->head.end, sizeof(std::uint64_t)};
    if (!write_all(leader, &ack, 1)) std::_Exit(0);
  });
  for (;;) {
    auto b = std::make_shared<batch>();
    if (!read_all(leader, &b->head, sizeof b->head)) std::_Exit(0);
    b->payload = std::make_unique_for_overwrite<char[]>(b->head.length);
    if (!read_all(leader, b->payload.get(), b->head.length)) std::_Exit(0);
    disk.push(std::move(b));
  }
}

class leader {
 public:
  leader(const char* path, const std::array<const char*, 2>& ports)
      : file_(path),
        followers_{socket_for(ports[0], false), socket_for(ports[1], false)},
        disk_([this](auto& group) {
          file_.append(group);
          durable(2, group.back()->head.end);
        }),
        senders_{queue([this](auto& group) { forward(0, group); }), queue([this](auto& group) { forward(1, group); })} {
    for (std::size_t i = 0; i < followers_.size(); ++i)
      acks_.emplace_back([this, i] {
        std::uint64_t end = 0;
        while (read_all(followers_[i], &end, sizeof end)) durable(i, end);
        std::_Exit(0);
      });
  }

  void serve(int client) {
    for (;;) {
      auto b = std::make_shared<batch>();
      if (!read_all(client, &b->head.length, sizeof b->head.length) || b->head.length > payload_bytes_max) break;
      b->payload = std::make_unique_for_overwrite<char[]>(b->head.length);
      if (!read_all(client, b->payload.get(), b->head.length)) break;
      b->head.crc = crc32c(b->payload.get(), b->head.length);
      const std::lock_guard order(order_);  // the same in all three files
      b->head.end = end_ += sizeof b->head + b->head.length;
      {
        const std::lock_guard lock(mutex_);
        waiting_.push_back({b->head.end, client});
      }
      for (auto& sender : senders_) sender.push(b);
      disk_.push(std::move(b));
    }
    // The descriptor stays open: acknowledgements may still be under way to it.
  }

 private:
  void forward(std::size_t i, std::vector<batch_ptr>& group) {
    std::vector<iovec> parts;
    parts.reserve(group.size() * 2);
    // sendmsg changes what it is given, and the other threads use the same batches: the parts are this thread's own.
    for (const auto& b : group) add_parts(parts, *b);
    if (!write_all(followers_[i], parts.data(), parts.size())) std::_Exit(0);
  }

  void durable(std::size_t who, std::uint64_t end) {
    const std::lock_guard lock(mutex_);
    durable_[who] = end;
    const auto all = std::min({durable_[0], durable_[1], durable_[2]});
    for (; !waiting_.empty() && waiting_.front().end <= all; waiting_.pop_front()) {
      iovec ack{&waiting_.front().end, sizeof(std::uint64_t)};
      (void)write_all(waiting_.front().client, &ack, 1);
    }
  }

  struct request {
    std::uint64_t end;
    int client;
  };

  std::mutex order_, mutex_;
  std::uint64_t end_ = 0;
  std::array<std::uint64_t, 3> durable_{};
  std::deque<request> waiting_;
  log_file file_;
  std::array<int, 2> followers_;
  queue disk_;
  std::array<queue, 2> senders_;
  std::vector<std::thread> acks_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == "follower") return follow(argv[2], argv[3]);
  if (argc == 6 && std::string_view(argv[1]) == "leader") {
    static leader self(argv[2], {argv[4], argv[5]});
    const int listener = socket_for(argv[3], true);
    for (;;) std::thread([client = accept_one(listener)] { self.serve(client); }).detach();
  }
  std::fputs("three_replica_writer follower FILE PORT | leader FILE PORT FOLLOWER_PORT FOLLOWER_PORT\n", stderr);
  return 2;
}
