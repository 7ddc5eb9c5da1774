#pragma once
#include <array>
#include <memory>
#include <optional>
#include <troupe/sdk/external_sort.hpp>
#include <troupe/sdk/map_sinks.hpp>

namespace troupe::sdk {

/// Keys that found no room in a fold's table, with the number of their arrival. They are divided by bits of their hash
/// among scratch files until each file's keys fit into a table; then they come out in the order of arrival, by a sort
/// of their numbers. So every accumulator is written once for each level of the division (16 times fewer keys at each),
/// and the order is the one that an endless table would have given.
///
///     an entry of a scratch file: varint number | varint size of the key | key | accumulator
template <class Folder>
class late_keys {
 public:
  using accumulator = typename Folder::accumulator_type;

  late_keys(task_env& env, Folder& folder)
      : env_(env), folder_(folder), first_(env, frame_bytes()), results_(env.port, env.task.memory_bytes / 8) {}

  void add(const packed_key& key, const accumulator& value) { first_.put(0, key, value, ++last_number_); }

  /// Calls f(key, accumulator) once for each key, first come first.
  template <class F>
  void for_each(F&& f) {
    resolve(first_, 1);
    results_.finish();
    accumulator value{};
    for (typename sorter::entry e; results_.next(e);) {
      const char* const end = e.value.data() + e.value.size();
      std::uint64_t size = 0;
      const char* const key = load_varint(e.value.data(), end, size);
      if (key == nullptr || size > static_cast<std::uint64_t>(end - key) || decode_field(key + size, end, value) != end)
        throw std::runtime_error("a key of a fold that was put off does not decode");
      f(bytes_view(key, static_cast<std::size_t>(size)), std::as_const(value));
    }
  }

 private:
  static constexpr unsigned bits = 4;
  static constexpr unsigned levels_max = 8;  ///< all 32 bits
  struct numbered {
    accumulator value;
    std::uint64_t number;
  };
  using table_type = fold_table<numbered>;
  using sorter = external_sort<key_bytes<std::string_view>>;

  /// The files of one level.
  struct fan {
    fan(task_env& to, std::uint64_t frame) : env(to), frame_bytes(frame) {}
    void put(unsigned level, const packed_key& key, const accumulator& value, std::uint64_t number) {
      // Not the half of the hash that partitions and tables take.
      const auto hash = static_cast<std::uint32_t>(key.is_short() ? hash_final(key.a, key.b, key.size()) : key.b);
      const auto way = hash >> (bits * level) & ((1U << bits) - 1);
      auto& writer = writers[way];
      if (!writer) {
        files[way].emplace(env.port);
        writer.emplace(*files[way], frame_bytes);
      }
      const bytes_view bytes = key.view();
      char* const at = store_varint(writer->reserve(varint_size_max + entry_size(bytes, value)), number);
      writer->commit(put_entry(at, bytes, value));
    }
    task_env& env;
    const std::uint64_t frame_bytes;
    std::array<std::optional<scratch_file>, 1U << bits> files;
    std::array<std::optional<scratch_writer>, 1U << bits> writers;
  };

  [[nodiscard]] std::uint64_t frame_bytes() const noexcept {
    return std::clamp<std::uint64_t>(env_.task.memory_bytes >> (bits + 5), 512, scratch_frame_bytes);
  }

  void resolve(fan& of, unsigned level) {
    for (auto& writer : of.writers) {
      if (writer) writer->flush();
      writer.reset();
    }
    for (auto& file : of.files) {
      if (file) resolve(*file, level);
      file.reset();
    }
  }

  void resolve(const scratch_file& file, unsigned level) {
    table_.limit(env_.task.memory_bytes / 4);
    std::unique_ptr<fan> deeper;
    scratch_reader in(file);
    packed_key key;
    accumulator other{};
    for (bytes_view frame; in.next(frame);) {
      const char* at = frame.data();
      const char* const end = at + frame.size();
      while (at != end) {
        std::uint64_t number = 0, size = 0;
        at = load_varint(at, end, number);
        if (at != nullptr) at = load_varint(at, end, size);
        if (at == nullptr || size > static_cast<std::uint64_t>(end - at))
          throw std::runtime_error("a scratch file of a fold does not decode");
        pack_key({at, static_cast<std::size_t>(size)}, key);
        at = decode_field(at + size, end, other);
        if (at == nullptr) throw std::runtime_error("a scratch file of a fold does not decode");
        auto& slot = table_.find(key);
        if (!table_type::is_empty(slot)) {
          folder_.merge(slot.accumulator.value, other);
        } else if (!deeper && table_.has_room(key)) {
          table_.insert(slot, key, numbered{std::move(other), number});
        } else {
          if (!deeper) {
            if (level == levels_max) throw failure("a fold has more keys of one hash than fit into a task's memory");
            deeper = std::make_unique<fan>(env_, frame_bytes());
          }
          deeper->put(level, key, other, number);
        }
      }
    }
    std::string entry;
    table_.for_each(0, [&](const typename table_type::slot& s) {
      char number[8];
      store_le(number, __builtin_bswap64(s.accumulator.number));  // so that bytes are in the order of numbers
      const bytes_view of = s.key.view();
      entry.resize(entry_size(of, s.accumulator.value));
      put_entry(entry.data(), of, s.accumulator.value);
      results_.add({number, sizeof number}, entry);
    });
    table_.clear();
    if (deeper) resolve(*deeper, level + 1);
  }

  task_env& env_;
  Folder& folder_;
  fan first_;
  table_type table_;
  sorter results_;
  std::uint64_t last_number_ = 0;
};

}  // namespace troupe::sdk
