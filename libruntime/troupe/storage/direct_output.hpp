#pragma once
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <troupe/base/result.hpp>
#include <troupe/storage/file.hpp>

namespace troupe::storage {

/// Files that are known to become at least so long are written past the page cache: nobody reads them before they are
/// whole, a copy of every byte for the cache costs more than the disk does, and an import would push out of memory what
/// jobs read. Shorter ones are worth keeping there.
inline constexpr std::uint64_t direct_bytes_min = 16 << 20;

/// Writes a file from its front to its end past the page cache (O_DIRECT), in aligned pieces of 1 MiB that it collects.
/// Owned by a segment_writer, which hands its file in with every call; one thread at a time.
///
///   appended     |......... written by the device .........|... collected ...|
///                                        a multiple of 4 KiB ^                ^ end
class direct_output {
 public:
  /// Switches the file to direct writing; nothing where the file system has none.
  static std::unique_ptr<direct_output> begin(file& f);

  /// Takes the parts in, one behind the other. `resource_exhausted` when the disk is full.
  result<void> append(file& f, std::span<const bytes_view> parts);
  /// Hands everything to the device, and cuts the file where it ends (the last piece was filled up with zeros). More
  /// may be appended afterwards.
  result<void> settle(file& f);

 private:
  struct release {
    void operator()(char* p) const noexcept { std::free(p); }
  };
  explicit direct_output(char* collected) : collected_(collected) {}
  result<void> write(file& f, std::size_t size);

  std::unique_ptr<char, release> collected_;
  std::size_t size_ = 0;        ///< of what is collected
  std::uint64_t position_ = 0;  ///< in the file, of the first collected byte: a multiple of the alignment
  bool direct_ = true;          ///< false once the file system has refused a piece: it goes on through the cache
};

}  // namespace troupe::storage
