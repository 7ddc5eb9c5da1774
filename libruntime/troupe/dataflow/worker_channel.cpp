#include "troupe/dataflow/worker_channel.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace troupe::dataflow {

result<void> send_packet(int socket, bytes_view data, std::span<const int> fds, bool block) {
  if (data.size() > packet_bytes_max || fds.size() > inputs_per_page_max)
    return error{errc::internal, "a packet of " + std::to_string(data.size()) + " bytes and " +
                                     std::to_string(fds.size()) + " descriptors is too large"};
  iovec part{const_cast<char*>(data.data()), data.size()};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int) * inputs_per_page_max)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = space;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    auto* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * fds.size());
  }
  for (;;) {
    if (::sendmsg(socket, &message, MSG_NOSIGNAL | (block ? 0 : MSG_DONTWAIT)) >= 0) return ok();
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return error{errc::unavailable, "the worker does not read its socket"};
    if (errno == EPIPE || errno == ECONNRESET)
      return error{errc::unavailable, "the other side of a worker's socket is gone"};
    return error::from_errno("sendmsg", "worker socket", errno);
  }
}

result<packet> receive_packet(int socket, bool block) {
  packet got;
  got.data.resize(packet_bytes_max);
  iovec part{got.data.data(), got.data.size()};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int) * inputs_per_page_max)];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space;
  message.msg_controllen = sizeof space;
  ssize_t n = 0;
  do {
    n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | (block ? 0 : MSG_DONTWAIT));
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    got.data.clear();
    if (errno == EAGAIN && !block) return got;
    if (errno != ECONNRESET) return error::from_errno("recvmsg", "worker socket", errno);
    got.closed = true;
    return got;
  }
  for (auto* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const auto count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      got.fds.emplace_back(fd);
    }
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
    return error{errc::corrupted, "a packet of a worker's socket is cut off"};
  got.data.resize(static_cast<std::size_t>(n));
  got.closed = n == 0;
  return got;
}

}  // namespace troupe::dataflow
