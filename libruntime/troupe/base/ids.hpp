#pragma once
#include <boost/describe/class.hpp>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <troupe/base/uuid.hpp>

/// Every id, offset, epoch and index is a type of its own, so that none can stand where another is meant.
namespace troupe {

/// A number with a meaning. `number<struct segment_tag>`; comparable, hashable, never converted by itself.
template <class Tag, class Rep = std::uint64_t>
struct number {
  using rep = Rep;
  Rep value{};

  constexpr number() = default;
  explicit constexpr number(Rep v) : value(v) {}

  [[nodiscard]] constexpr number next() const noexcept { return number(static_cast<Rep>(value + 1)); }
  friend constexpr auto operator<=>(const number&, const number&) = default;
};

template <class Tag, class Rep>
std::string to_string(number<Tag, Rep> n) {
  return std::to_string(n.value);
}

/// A UUID with a meaning.
template <class Tag>
struct identity {
  uuid value;

  static identity random() { return identity{uuid::random()}; }
  static result<identity> parse(std::string_view text) {
    auto parsed = uuid::parse(text);
    if (!parsed) return parsed.error();
    return identity{*parsed};
  }
  [[nodiscard]] bool is_nil() const noexcept { return value.is_nil(); }
  friend auto operator<=>(const identity&, const identity&) = default;
};

template <class Tag>
std::string to_string(const identity<Tag>& id) {
  return id.value.to_string();
}

using cluster_id = identity<struct cluster_tag>;  ///< made once by `up`; stands in every handshake and file header
using member_id = identity<struct member_tag>;    ///< a data directory's own; a wiped disk is a new member
using request_id = identity<struct request_tag>;  ///< of one command; a retry carries the same

using incarnation = number<struct incarnation_tag>;  ///< grows with every start of a member
using term = number<struct term_tag>;                ///< Raft's
using log_index = number<struct log_index_tag>;      ///< Raft's, from 1
using epoch = number<struct epoch_tag>;  ///< fences writers and supervisors; grows with every change of owner

using dataset_id = number<struct dataset_tag>;
using segment_id = number<struct segment_tag>;
using job_id = number<struct job_tag>;
using import_id = number<struct import_tag>;
using partition_index = number<struct partition_tag, std::uint32_t>;
using record_offset = number<struct offset_tag>;  ///< counts records within a segment, from 0
using stage_index = number<struct stage_tag, std::uint32_t>;
using task_index = number<struct task_tag, std::uint32_t>;         ///< within its stage
using attempt_number = number<struct attempt_tag, std::uint32_t>;  ///< within its task, from 1

}  // namespace troupe

template <class Tag, class Rep>
struct std::hash<troupe::number<Tag, Rep>> {
  std::size_t operator()(const troupe::number<Tag, Rep>& n) const noexcept { return std::hash<Rep>{}(n.value); }
};
template <class Tag>
struct std::hash<troupe::identity<Tag>> {
  std::size_t operator()(const troupe::identity<Tag>& id) const noexcept { return std::hash<troupe::uuid>{}(id.value); }
};
