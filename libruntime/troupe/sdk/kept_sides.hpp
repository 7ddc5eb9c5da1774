#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <troupe/sdk/memory.hpp>
#include <troupe/sdk/task_env.hpp>

namespace troupe::sdk {

/// What was made of a side that every task has whole, kept from task to task of a stage by a worker, with the bytes
/// that it was made of: the next task compares them with its own, and makes it anew when one differs. So it does not
/// matter whose they were. A task of another stage drops all. From any thread.
class kept_sides {
 public:
  struct side {
    virtual ~side() = default;
  };
  /// Called when a task begins.
  static void begin(std::uint32_t stage) noexcept {
    std::vector<entry> gone;
    const std::lock_guard lock(all().mutex);
    if (all().stage != stage) gone.swap(all().entries);
    all().stage = stage;
  }
  /// What was given last under this name; null: nothing.
  static std::unique_ptr<side> take(const void* name) {
    const std::lock_guard lock(all().mutex);
    auto& entries = all().entries;
    for (auto i = entries.size(); i-- > 0;) {
      if (entries[i].name != name) continue;
      auto out = std::move(entries[i].what);
      entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(i));
      return out;
    }
    return nullptr;
  }
  static void give(const void* name, std::unique_ptr<side> what) noexcept {
    const std::lock_guard lock(all().mutex);
    try {
      all().entries.push_back({name, std::move(what)});
    } catch (const std::bad_alloc&) {  // then it is not kept
    }
  }

 private:
  struct entry {
    const void* name;
    std::unique_ptr<side> what;
  };
  struct everything {
    std::mutex mutex;
    std::uint32_t stage = 0;
    std::vector<entry> entries;
  };
  static everything& all() {
    static everything one;
    return one;
  }
};

/// The blocks that something was made of.
class kept_blocks {
 public:
  void clear() noexcept {
    blocks_.clear();
    bytes_.clear();
  }
  /// False: they would be more than so many bytes.
  bool add(bytes_view block, std::uint64_t bytes_max) {
    if (bytes_.used() + block.size() > bytes_max) return false;
    blocks_.emplace_back(bytes_.copy(block), block.size());
    return true;
  }
  [[nodiscard]] bool is(std::size_t number, bytes_view block) const noexcept {
    return number < blocks_.size() && blocks_[number] == block;
  }
  [[nodiscard]] std::size_t size() const noexcept { return blocks_.size(); }
  [[nodiscard]] bytes_view operator[](std::size_t number) const noexcept { return blocks_[number]; }
  void cut(std::size_t count) { blocks_.resize(count); }

 private:
  byte_arena bytes_;
  std::vector<bytes_view> blocks_;
};

/// A table of a side that every task has whole: the one that the task before left, when its blocks are the same, else
/// made of this task's. `Fill` puts a block's records into the table.
template <class Table>
class whole_side {
 public:
  template <class Limit, class Fill>
  whole_side(task_env& env, std::uint32_t edge, Limit&& limit, Fill&& fill) {
    made_.reset(static_cast<made*>(kept_sides::take(&name_).release()));
    const bool reusable = made_ != nullptr && made_->memory_bytes == env.task.memory_bytes;
    if (!reusable) {
      made_ = std::make_unique<made>();
      made_->memory_bytes = env.task.memory_bytes;
      limit(made_->table);
    }
    std::size_t same = 0;
    bool differs = !reusable;
    const auto make_anew = [&] {
      differs = true;
      made_->table.clear();
      made_->blocks.cut(same);
      for (std::size_t i = 0; i < same; ++i) fill(made_->table, made_->blocks[i]);
    };
    troupe_block block{};
    while (env.input.next(edge, block)) {
      const bytes_view bytes(block.data, static_cast<std::size_t>(block.size));
      if (!differs && made_->blocks.is(same, bytes)) {
        ++same;
        continue;
      }
      if (!differs) make_anew();
      fill(made_->table, bytes);
      if (keeps_ && !made_->blocks.add(bytes, env.task.memory_bytes / 8)) {
        keeps_ = false;
        made_->blocks.clear();
      }
    }
    if (!differs && same != made_->blocks.size()) make_anew();
  }
  ~whole_side() {
    if (made_ != nullptr && keeps_) kept_sides::give(&name_, std::move(made_));
  }
  whole_side(const whole_side&) = delete;
  whole_side& operator=(const whole_side&) = delete;
  Table& operator*() const noexcept { return made_->table; }
  Table* operator->() const noexcept { return &made_->table; }

 private:
  struct made : kept_sides::side {
    Table table;
    kept_blocks blocks;
    std::uint64_t memory_bytes = 0;
  };
  static constexpr char name_ = 0;  ///< its address
  std::unique_ptr<made> made_;
  bool keeps_ = true;
};

}  // namespace troupe::sdk
