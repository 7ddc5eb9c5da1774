#pragma once
#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <troupe/sdk/abi.hpp>

namespace troupe::sdk {

/// Thrown where the host said stop; carried to the stage's entry, which returns 0. Not a std::exception, so that user
/// code's handlers let it pass.
struct stop_requested {};

/// The host's functions, with "stop" as an exception. After one stop every further call stops as well, even if user
/// code swallowed the first.
class host_port {
 public:
  explicit host_port(const troupe_host& host) noexcept : host_(&host) {}

  /// False at the end of the input.
  bool next_block(troupe_block& out) {
    check();
    const int state = host_->next_block(host_->self, &out);
    if (state < 0) stop();
    return state > 0;
  }
  troupe_chunk open_chunk(std::uint64_t bytes_min) {
    check();
    troupe_chunk out{};
    if (host_->open_chunk(host_->self, bytes_min, &out) < 0) stop();
    if (out.capacity < bytes_min) throw std::length_error("the worker gave a chunk smaller than was asked for");
    return out;
  }
  void publish(std::uint32_t partition, const troupe_chunk& chunk, std::uint64_t bytes, std::uint64_t records) {
    check();
    if (host_->publish(host_->self, partition, &chunk, bytes, records) < 0) stop();
  }
  std::uint64_t scratch_open() {
    check();
    std::uint64_t file = 0;
    if (host_->scratch_open(host_->self, &file) < 0) stop();
    return file;
  }
  void scratch_append(std::uint64_t file, const char* data, std::uint64_t size) {
    check();
    if (host_->scratch_append(host_->self, file, data, size) < 0) stop();
  }
  void scratch_read(std::uint64_t file, std::uint64_t offset, char* data, std::uint64_t size) {
    check();
    if (host_->scratch_read(host_->self, file, offset, data, size) < 0) stop();
  }
  void scratch_close(std::uint64_t file) noexcept {
    if (!stopped_) host_->scratch_close(host_->self, file);
  }

 private:
  void check() const {
    if (stopped_) throw stop_requested{};
  }
  [[noreturn]] void stop() {
    stopped_ = true;
    throw stop_requested{};
  }
  const troupe_host* host_;
  bool stopped_ = false;
};

/// Room for whole records: a chunk of the output, a frame of a scratch file, or the queue before the next operator. Who
/// derives from it makes room when there is none left; no call per record.
class record_out {
 public:
  /// Room for a record of exactly or at most `bytes`; give it back with `commit`.
  char* reserve(std::uint64_t bytes) {
    if (bytes > static_cast<std::uint64_t>(end_ - at_)) [[unlikely]]
      renew_(*this, bytes);
    return at_;
  }
  /// The record ends here, or the last of so many.
  void commit(char* end, std::uint64_t records = 1) noexcept {
    at_ = end;
    records_ += records;
  }
  record_out(const record_out&) = delete;
  record_out& operator=(const record_out&) = delete;

 protected:
  /// Leaves at least `bytes` between at_ and end_.
  using renew_function = void (*)(record_out& self, std::uint64_t bytes);
  explicit record_out(renew_function renew) noexcept : renew_(renew) {}
  ~record_out() = default;
  char* at_ = nullptr;
  char* end_ = nullptr;
  std::uint64_t records_ = 0;  ///< since the last renewal

 private:
  renew_function renew_;
};

/// A task's output to one partition, whole records at a time. One chunk is open at most; what is not published when
/// this object dies goes back to the worker with the attempt.
class chunk_writer final : public record_out {
 public:
  /// `chunk_bytes`: how much to ask for at once, unless a record needs more. `expected_bytes`: if known, about how much
  /// will come in all, so that the last chunk fits.
  chunk_writer(host_port& host, std::uint32_t partition, std::uint64_t chunk_bytes,
               std::uint64_t expected_bytes = UINT64_MAX) noexcept
      : record_out([](record_out& self, std::uint64_t bytes) { static_cast<chunk_writer&>(self).renew(bytes); }),
        host_(&host),
        partition_(partition),
        chunk_bytes_(chunk_bytes),
        expected_bytes_(expected_bytes) {}

  /// Publishes what is there. Call at the end; more may be written afterwards.
  void flush() {
    if (records_ == 0) return;
    host_->publish(partition_, chunk_, static_cast<std::uint64_t>(at_ - chunk_.data), records_);
    expected_bytes_ -= std::min<std::uint64_t>(expected_bytes_, static_cast<std::uint64_t>(at_ - chunk_.data));
    records_total_ += records_;
    records_ = 0;
    at_ = end_ = nullptr;
  }
  [[nodiscard]] std::uint64_t records() const noexcept { return records_total_ + records_; }

 private:
  void renew(std::uint64_t bytes) {
    flush();
    const auto expected = expected_bytes_ == 0 ? chunk_bytes_ : expected_bytes_;  // more came than was expected
    chunk_ = host_->open_chunk(std::max(bytes, std::min(chunk_bytes_, expected)));
    at_ = chunk_.data;
    end_ = chunk_.data + chunk_.capacity;
  }
  host_port* host_;
  std::uint32_t partition_;
  std::uint64_t chunk_bytes_;
  std::uint64_t expected_bytes_;
  troupe_chunk chunk_{};
  std::uint64_t records_total_ = 0;
};

}  // namespace troupe::sdk
