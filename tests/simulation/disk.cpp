#include <tests/simulation/disk.hpp>
#include <troupe/format/log_entry.hpp>

namespace troupe::simulation {

using consensus::effects::persist;

namespace {
bytes as_file(const cluster_id& cluster, const consensus::snapshot& s) {
  const auto state = consensus::encode_snapshot_state(s);
  return format::encode_snapshot_header({cluster, s.index, s.term, state}) + state;
}
}  // namespace

void disk::write_some(const persist& what, random_source* random) {
  if (log_.empty()) log_ = format::encode_log_file_header({cluster_, first_});
  // The steps in order. With a crash under way, one of them is where the power goes; a rename either happened or did
  // not.
  const auto crash_at = random == nullptr ? ~std::uint64_t{0} : random->below(7);
  std::uint64_t step = 0;
  const auto before_crash = [&] {
    const auto here = step++;
    return here < crash_at || (here == crash_at && random->coin());
  };
  if (before_crash()) {
    if (what.state) state_ = format::encode_hard_state(*what.state);
  } else {
    return;
  }
  if (!before_crash()) return;
  if (what.truncate_from) truncate_from(*what.truncate_from);
  if (step == crash_at) return append(what.entries, random);
  if (!before_crash()) return;
  append(what.entries, nullptr);
  if (!before_crash()) return;
  if (what.save) save_snapshot(*what.save);
  if (!before_crash()) return;
  if (what.save) make_log_agree(*what.save);
  if (!before_crash()) return;
  if (what.purge_before) purge_before(*what.purge_before);
}

void disk::append(const std::vector<consensus::entry>& entries, random_source* tear) {
  const auto begin = log_.size();
  const auto durable = last();
  for (const auto& e : entries) {
    positions_.emplace_back(log_.size(), e.term);
    format::append_log_entry(log_, {e.term, e.index, durable, consensus::encode_payload(e)});
  }
  if (tear == nullptr || entries.empty()) return;
  // Any prefix, and pages of it in any order: a hole of zeros may lie before what came through.
  log_.resize(begin + tear->below(log_.size() - begin + 1));
  if (log_.size() > begin && tear->per_mille(300)) {
    const auto hole = begin + tear->below(log_.size() - begin);
    const auto end = hole + tear->below(log_.size() - hole + 1);
    std::fill(log_.begin() + static_cast<std::ptrdiff_t>(hole), log_.begin() + static_cast<std::ptrdiff_t>(end), '\0');
  }
}

void disk::truncate_from(log_index index) {
  if (index > last() || index < first_) return;
  const auto keep = index.value - first_.value;
  log_.resize(positions_[keep].first);
  positions_.resize(keep);
}

void disk::save_snapshot(const consensus::snapshot& s) { snapshot_ = as_file(cluster_, s); }

void disk::make_log_agree(const consensus::snapshot& s) {
  const bool agrees =
      s.index >= first_ && s.index <= last() && positions_[s.index.value - first_.value].second == s.term;
  if (agrees || s.index.next() == first_) return;
  positions_.clear();
  rewrite(s.index.next(), {});
}

void disk::purge_before(log_index index) {
  if (index <= first_) return;
  const auto gone = std::min<std::size_t>(index.value - first_.value, positions_.size());
  const auto from = gone == positions_.size() ? log_.size() : positions_[gone].first;
  positions_.erase(positions_.begin(), positions_.begin() + static_cast<std::ptrdiff_t>(gone));
  for (auto& [position, t] : positions_) position = position - from + format::log_file_header_bytes;
  rewrite(log_index{first_.value + gone}, log_.substr(from));
}

void disk::rewrite(log_index first, bytes kept) {
  first_ = first;
  log_ = format::encode_log_file_header({cluster_, first}) + kept;
}

void disk::wipe() {
  log_.clear();
  state_.clear();
  snapshot_.clear();
  positions_.clear();
  first_ = log_index{1};
}

result<void> disk::reopen() {
  positions_.clear();
  first_ = log_index{1};
  if (log_.empty()) return ok();
  TROUPE_TRY(const auto header, format::decode_log_file_header(log_));
  TROUPE_TRY(const auto scan, format::scan_log(bytes_view(log_).substr(format::log_file_header_bytes), header.first));
  first_ = header.first;
  for (const auto& place : scan.entries)
    positions_.emplace_back(place.position + format::log_file_header_bytes, place.term);
  log_.resize(format::log_file_header_bytes + scan.intact_bytes);
  if (snapshot_.empty()) return ok();
  TROUPE_TRY(const auto saved, format::decode_snapshot(snapshot_));
  if (first_ > saved.index.next())
    return error{errc::corrupted, "the log begins with entry " + to_string(first_) + " and the snapshot ends with " +
                                      to_string(saved.index)};
  if (last() < saved.index ||
      (saved.index >= first_ && positions_[saved.index.value - first_.value].second != saved.term)) {
    positions_.clear();
    rewrite(saved.index.next(), {});
  }
  return ok();
}

result<consensus::restored> disk::load(const consensus::configuration& first_members) const {
  consensus::restored found;
  found.latest.members = first_members;
  if (!state_.empty()) {
    TROUPE_TRY(found.state, format::decode_hard_state(state_));
  }
  if (!snapshot_.empty()) {
    TROUPE_TRY(const auto saved, format::decode_snapshot(snapshot_));
    found.latest.index = saved.index;
    found.latest.term = saved.term;
    TROUPE_TRY_VOID(consensus::decode_snapshot_state(saved.state, found.latest));
  }
  for (const auto& [position, t] : positions_) {
    TROUPE_TRY(const auto raw, format::decode_log_entry(bytes_view(log_).substr(position)));
    consensus::entry e{raw.term, raw.index, {}, {}};
    TROUPE_TRY_VOID(consensus::decode_payload(raw.payload, e));
    found.entries.push_back(std::move(e));
  }
  return found;
}

}  // namespace troupe::simulation
