#include <actors/supervision/output_sink.hpp>
#include <troupe/base/checksum.hpp>

namespace troupe::actors {

void output_sink::take(output_chunk chunk) {
  std::unique_lock lock(mutex_);
  if (closed_ || failed_) return;  // the chunk's hold goes, and with it its memory
  if (xxh3_128(chunk.bytes) != chunk.digest) {
    failed_ =
        error{errc::corrupted,
              "the output of the task changed after it was published: the module writes to memory that it gave away"};
    waiting_.clear();
    return;
  }
  if (!writer_) writer_ = ports_.open_output(spec_);
  waiting_.push_back(std::move(chunk));
  pump(lock);
}

/// Appends with the lock released: a writer may answer from within the call.
void output_sink::pump(std::unique_lock<std::mutex>& lock) {
  while (!waiting_.empty() && outstanding_ < appends_outstanding_max && !failed_) {
    auto chunk = std::move(waiting_.front());
    waiting_.pop_front();
    ++outstanding_;
    const auto writer = writer_;
    const auto payload = chunk.bytes;
    const auto records = chunk.records;
    lock.unlock();
    writer->append(payload, records,
                   [self = shared_from_this(), hold = std::move(chunk.hold)](const result<void>& answer) {
                     self->written(answer);
                   });
    lock.lock();
  }
  if (!sealed_ || outstanding_ > 0 || (!waiting_.empty() && !failed_)) return;
  auto then = std::exchange(sealed_, nullptr);
  const auto writer = std::exchange(writer_, nullptr);
  const auto failed = failed_;
  closed_ = true;
  lock.unlock();
  if (failed) {
    if (writer) writer->abort();
    then(*failed);
  } else if (!writer) {
    then(std::optional<data::sealed_output>{});
  } else {
    // The writer lives until it has answered.
    writer->seal([then = std::move(then), writer](result<data::sealed_output> answer) {
      if (!answer) return then(answer.error());
      if (answer->segment.records == 0) return then(std::optional<data::sealed_output>{});
      then(std::optional<data::sealed_output>(std::move(*answer)));
    });
  }
  lock.lock();
}

void output_sink::written(const result<void>& answer) {
  std::unique_lock lock(mutex_);
  --outstanding_;
  if (!answer && !failed_) {
    failed_ = answer.error();
    waiting_.clear();
  }
  pump(lock);
}

void output_sink::seal(std::function<void(result<std::optional<data::sealed_output>>)> then) {
  std::unique_lock lock(mutex_);
  sealed_ = std::move(then);
  pump(lock);
}

void output_sink::abort() {
  std::unique_lock lock(mutex_);
  closed_ = true;
  waiting_.clear();
  if (!failed_) failed_ = error{errc::cancelled, "the attempt was stopped"};
  const auto writer = std::exchange(writer_, nullptr);
  auto then = std::exchange(sealed_, nullptr);
  lock.unlock();
  if (writer) writer->abort();
  if (then) then(error{errc::cancelled, "the attempt was stopped"});
}

}  // namespace troupe::actors
