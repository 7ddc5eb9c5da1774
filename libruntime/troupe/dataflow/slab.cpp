#include "troupe/dataflow/slab.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace troupe::dataflow {

result<std::unique_ptr<slab>> slab::make(slab_id id, std::uint64_t size) {
  std::unique_ptr<slab> made(new slab(id, size));
  const auto name = "troupe-slab-" + to_string(id);
  made->write_fd_ = ::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (made->write_fd_ < 0) return error::from_errno("memfd_create", name, errno);
  if (::ftruncate(made->write_fd_, static_cast<off_t>(size)) != 0) return error::from_errno("ftruncate", name, errno);
  // A worker that cut it shorter would end the daemon by SIGBUS.
  if (::fcntl(made->write_fd_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return error::from_errno("seal", name, errno);
  // Read-only for the owner too: otherwise a reader could open its descriptor again for writing through /proc.
  if (::fchmod(made->write_fd_, S_IRUSR) != 0) return error::from_errno("fchmod", name, errno);
  const auto path = "/proc/self/fd/" + std::to_string(made->write_fd_);
  made->read_fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (made->read_fd_ < 0) return error::from_errno("open", path, errno);
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, made->write_fd_, 0);
  if (data == MAP_FAILED) return error::from_errno("mmap", name, errno);
  made->data_ = static_cast<char*>(data);
  ::madvise(data, size, MADV_HUGEPAGE);  // best effort: often off for shared memory
  return made;
}

slab::~slab() {
  if (data_ != nullptr) ::munmap(data_, size_);
  if (read_fd_ >= 0) ::close(read_fd_);
  if (write_fd_ >= 0) ::close(write_fd_);
}

void slab::warm() noexcept {
#ifdef MADV_POPULATE_WRITE
  if (::madvise(data_, size_, MADV_POPULATE_WRITE) == 0) return;
#endif
  // Kernels before 5.14: write a byte of every page. The slab is not handed out yet, so nobody's bytes are lost.
  for (std::uint64_t at = 0; at < size_; at += 4096) static_cast<volatile char*>(data_)[at] = 0;
}

}  // namespace troupe::dataflow
