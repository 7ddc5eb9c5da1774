#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <troupe/base/limits.hpp>
#include <troupe/sdk/chunk_writer.hpp>
#include <troupe/sdk/key.hpp>

namespace troupe {

namespace sdk {

/// A value in the queue: itself when it owns what it holds, else its bytes (views die when `emit` returns).
template <class Value>
struct queued_value {
  static constexpr bool owned = is_owned<Value>();
  std::conditional_t<owned, Value, bytes_view> held;
};

template <class Value>
struct queued_pair {
  packed_key key;
  queued_value<Value> value;
};

/// Long keys and views in the queue, until it is drained. It never moves what it holds.
class stash {
 public:
  /// Null when there is no room left: drain first. An empty stash always has room.
  char* allocate(std::size_t size) {
    if (size > capacity_ - used_) {
      if (used_ != 0) return nullptr;
      capacity_ = std::max<std::size_t>(size, 1 << 16);
      bytes_ = std::make_unique_for_overwrite<char[]>(capacity_);
    }
    char* const out = bytes_.get() + used_;
    used_ += size;
    return out;
  }
  void clear() noexcept { used_ = 0; }

 private:
  std::unique_ptr<char[]> bytes_;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
};

}  // namespace sdk

/// What a mapper calls with each key and value. It packs and hashes them into a short queue; the engine takes the queue
/// as a whole, so that it can prefetch the table's slots, and so that one call through a pointer serves many pairs. The
/// engine makes it, and it lives as long as the task.
template <class Key, class Value = void>
class emitter {
  static_assert(
      sdk::field_value<Value>,
      "a value is a number, an enum, a string, an optional, a vector, a pair or a struct with BOOST_DESCRIBE_STRUCT");

 public:
  using key_view = typename sdk::key_bytes<Key>::view;
  using pair = sdk::queued_pair<Value>;
  static constexpr std::size_t queue_pairs = sizeof(pair) <= 64 ? 128 : 16;
  using drain_function = void (*)(void* self, pair* pairs, std::size_t count);

  emitter(void* self, drain_function drain) noexcept : self_(self), drain_(drain) {}
  emitter(const emitter&) = delete;
  emitter& operator=(const emitter&) = delete;

  /// Both are copied: they may be gone when this returns.
  [[gnu::always_inline]] void operator()(const key_view& key, const Value& value) {
    if (count_ == queue_pairs) [[unlikely]]
      drain();
    pair& next = queue_[count_];
    sdk::key_bytes<Key>::pack(key, scratch_, next.key);
    if constexpr (sdk::queued_value<Value>::owned) {
      if (!next.key.is_short()) [[unlikely]] {
        put_long(next.key, nullptr).value.held = value;
      } else {
        next.value.held = value;
      }
    } else {
      put_long(next.key, &value);
    }
    __builtin_prefetch(slots_ + (std::uint64_t{next.key.tag()} >> shift_) * slot_bytes_, 1);
    ++count_;
  }

  /// The engine's: where a table has the slots that the queue's keys will need.
  void prefetch_in(const void* slots, std::uint32_t shift, std::size_t slot_bytes) noexcept {
    slots_ = static_cast<const char*>(slots);
    shift_ = shift;
    slot_bytes_ = slot_bytes;
  }

  /// The engine's: everything emitted so far goes on.
  void drain() {
    const auto count = count_;
    count_ = 0;
    if (count != 0) drain_(self_, queue_.data(), count);
    stash_.clear();
  }

 private:
  /// Moves what the pair at the queue's end points to into the stash.
  [[gnu::noinline]] pair& put_long(sdk::packed_key key, const Value* view) {
    if (key.size() > limits::record_bytes_max)
      throw std::length_error("a key of " + std::to_string(key.size()) + " bytes is longer than a record may be");
    const auto key_size = key.is_short() ? 0 : key.size();
    const auto value_size = view == nullptr ? 0 : sdk::encoded_size(*view);
    char* room = stash_.allocate(key_size + value_size);
    if (room == nullptr) {
      drain();
      room = stash_.allocate(key_size + value_size);
    }
    pair& next = queue_[count_];
    next.key = key;
    if (key_size != 0) {
      std::memcpy(room, reinterpret_cast<const char*>(key.a), key_size);
      next.key.a = reinterpret_cast<std::uint64_t>(room);
    }
    if constexpr (!sdk::queued_value<Value>::owned) {
      sdk::encode_field(room + key_size, *view);
      next.value.held = {room + key_size, value_size};
    }
    return next;
  }

  void* self_;
  drain_function drain_;
  std::size_t count_ = 0;
  const char* slots_ = reinterpret_cast<const char*>(this);  ///< without a table: a place that is in the cache anyway
  std::size_t slot_bytes_ = 0;
  std::uint32_t shift_ = 32;
  sdk::stash stash_;
  std::string scratch_;
  std::array<pair, queue_pairs> queue_;
};

/// What a mapper or reducer of whole records calls: `emit(record)` with a described struct goes straight into the
/// output.
template <class Record>
class emitter<Record, void> {
  static_assert(sdk::described_struct<Record>,
                "an output record is a struct with BOOST_DESCRIBE_STRUCT; for a key and a value name both types");

 public:
  explicit emitter(sdk::record_out& out) noexcept : out_(&out) {}

  void operator()(const Record& record) {
    const auto size = sdk::encoded_size(record);
    if (size > limits::record_bytes_max)
      throw std::length_error("an output record of " + std::to_string(size) + " bytes is above the limit of 64 MiB");
    char* at = out_->reserve(size + varint_size_max);
    at = store_varint(at, size);
    out_->commit(sdk::encode_field(at, record));
  }

 private:
  sdk::record_out* out_;
};

namespace sdk {

/// Writes an output record of a key, whose bytes are known, and a value, whose bytes are.
template <class Key>
void write_pair_encoded(record_out& out, bytes_view key, bytes_view value) {
  const auto size = key_bytes<Key>::field_size(key) + value.size();
  if (size > limits::record_bytes_max)
    throw std::length_error("an output record of " + std::to_string(size) + " bytes is above the limit of 64 MiB");
  char* at = out.reserve(size + varint_size_max);
  at = key_bytes<Key>::put_field(store_varint(at, size), key);
  if (!value.empty()) std::memcpy(at, value.data(), value.size());
  out.commit(at + value.size());
}

/// The same with a value as it is.
template <class Key, class Value>
void write_pair(record_out& out, bytes_view key, const Value& value) {
  const auto size = key_bytes<Key>::field_size(key) + encoded_size(value);
  if (size > limits::record_bytes_max)
    throw std::length_error("an output record of " + std::to_string(size) + " bytes is above the limit of 64 MiB");
  char* at = out.reserve(size + varint_size_max);
  at = key_bytes<Key>::put_field(store_varint(at, size), key);
  out.commit(encode_field(at, value));
}

/// What a reducer of keys and values calls.
template <class Key, class Value>
class pair_emitter {
 public:
  explicit pair_emitter(record_out& out) noexcept : out_(&out) {}
  void operator()(const typename key_bytes<Key>::view& key, const Value& value) {
    write_pair<Key>(*out_, key_bytes<Key>::of(key, scratch_), value);
  }

 private:
  record_out* out_;
  std::string scratch_;
};

}  // namespace sdk
}  // namespace troupe
