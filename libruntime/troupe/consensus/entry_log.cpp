#include <troupe/base/invariant.hpp>
#include <troupe/consensus/entry_log.hpp>

namespace troupe::consensus {

entry_log::entry_log(log_index base, std::optional<term> base_term, std::vector<entry> entries)
    : base_(base), base_term_(base_term) {
  for (auto& e : entries) append(std::move(e));
}

term entry_log::last_term() const noexcept {
  return entries_.empty() ? base_term_.value_or(term{}) : entries_.back().term;
}

std::optional<term> entry_log::term_at(log_index index) const noexcept {
  if (index == base_) return base_term_;
  const auto* found = find(index);
  if (found == nullptr) return std::nullopt;
  return found->term;
}

const entry* entry_log::find(log_index index) const noexcept {
  if (index <= base_ || index > last()) return nullptr;
  return &entries_[index.value - base_.value - 1];
}

void entry_log::append(entry e) {
  TROUPE_INVARIANT(e.index == last().next(), "entry " + to_string(e.index) + " behind " + to_string(last()));
  entries_.push_back(std::move(e));
}

void entry_log::truncate_from(log_index index) {
  TROUPE_INVARIANT(index > base_, "cut at " + to_string(index) + ", base " + to_string(base_));
  while (last() >= index) entries_.pop_back();
}

void entry_log::drop_to(log_index index) {
  if (index <= base_) return;
  TROUPE_INVARIANT(index <= last(), "drop to " + to_string(index) + ", last " + to_string(last()));
  base_term_ = term_at(index);
  const auto count = index.value - base_.value;
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(count));
  base_ = index;
}

void entry_log::reset(log_index base, term base_term) {
  entries_.clear();
  base_ = base;
  base_term_ = base_term;
}

std::vector<entry> entry_log::copy(log_index from, std::size_t bytes_max, std::size_t count_max) const {
  std::vector<entry> out;
  std::size_t size = 0;
  for (auto index = from; index <= last() && out.size() < count_max; index = index.next()) {
    const auto* e = find(index);
    if (e == nullptr || (!out.empty() && size + e->payload.size() > bytes_max)) break;
    size += e->payload.size();
    out.push_back(*e);
  }
  return out;
}

}  // namespace troupe::consensus
