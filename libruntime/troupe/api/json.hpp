#pragma once
#include <boost/describe/enum_from_string.hpp>
#include <boost/describe/enum_to_string.hpp>
#include <boost/describe/members.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/mp11/algorithm.hpp>
#include <map>
#include <optional>
#include <string>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>
#include <troupe/base/utf8.hpp>
#include <vector>

/// Described structs to and from JSON. `to_json(x)`, `from_json<T>(value, "what")`; text by `to_text` and `from_text`.
///
///   struct           object, a member by its name
///   string           string; what is not UTF-8 becomes U+FFFD
///   vector, map      array, object
///   optional         the value or null
///   number, bool     number, true/false
///   identity (UUID)  string of 36 characters
///   timestamp        string, RFC 3339 in UTC with milliseconds
///   enum             string, the enumerator's name
namespace troupe::api {

namespace json = boost::json;

/// A moment. In JSON «2026-11-23T08:58:29.123Z».
struct timestamp {
  std::int64_t unix_ms = 0;
  friend auto operator<=>(const timestamp&, const timestamp&) = default;
};

/// Reads RFC 3339 in UTC («Z»), seconds with or without a fraction.
result<timestamp> parse_timestamp(std::string_view text);
std::string to_string(timestamp when);

/// What a struct that is read does with members it does not know. A request refuses them (a typing error would pass
/// unseen); an answer may come from a newer node.
enum class unknown_members { refused, ignored };

namespace detail {
template <class T>
concept described = boost::describe::has_describe_members<T>::value && !std::is_union_v<T>;
template <class T>
concept described_enum = std::is_enum_v<T> && boost::describe::has_describe_enumerators<T>::value;
template <class T>
concept has_required = requires {
  T::required;
};

template <class T>
struct kind {
  static constexpr bool vector = false, map = false, optional = false, number = false, identity = false;
};
template <class T>
struct kind<std::vector<T>> : kind<void> {
  static constexpr bool vector = true;
};
template <class T>
struct kind<std::map<std::string, T>> : kind<void> {
  static constexpr bool map = true;
};
template <class T>
struct kind<std::optional<T>> : kind<void> {
  static constexpr bool optional = true;
};
template <class Tag, class Rep>
struct kind<troupe::number<Tag, Rep>> : kind<void> {
  static constexpr bool number = true;
};
template <class Tag>
struct kind<troupe::identity<Tag>> : kind<void> {
  static constexpr bool identity = true;
};

template <class T>
using members_of = boost::describe::describe_members<T, boost::describe::mod_public>;

/// «nodes[2].pid: expected a number, found "x"».
error unexpected(const std::string& where, std::string_view expected, const json::value& found);
result<json::value> parse(std::string_view text, std::string_view what);

template <class T>
result<void> read_value(T& out, const json::value& in, const std::string& where, unknown_members unknown);

template <class T>
result<void> read_struct(T& out, const json::value& in, const std::string& where, unknown_members unknown) {
  const auto* object = in.if_object();
  if (object == nullptr) return unexpected(where, "an object", in);
  if constexpr (has_required<T>)
    for (const std::string_view name : T::required)
      if (!object->contains(name))
        return error{errc::invalid_argument, where + ": \"" + std::string(name) + "\" is missing"};
  result<void> outcome = ok();
  std::size_t known = 0;
  boost::mp11::mp_for_each<members_of<T>>([&](auto member) {
    if (!outcome) return;
    const auto* value = object->if_contains(member.name);
    if (value == nullptr) return;
    ++known;
    outcome = read_value(out.*member.pointer, *value, where + "." + member.name, unknown);
  });
  if (!outcome || unknown == unknown_members::ignored || known == object->size()) return outcome;
  for (const auto& one : *object) {
    const std::string_view name = one.key();  // no structured binding: clang 14 does not let a lambda capture those
    bool found = false;
    boost::mp11::mp_for_each<members_of<T>>([&](auto member) { found = found || name == member.name; });
    if (!found) return error{errc::invalid_argument, where + ": there is no member \"" + std::string(name) + "\""};
  }
  return outcome;
}

template <class T>
result<void> read_value(T& out, const json::value& in, const std::string& where, unknown_members unknown) {
  if constexpr (std::same_as<T, json::value> || std::same_as<T, json::object>) {
    if constexpr (std::same_as<T, json::object>) {
      if (!in.is_object()) return unexpected(where, "an object", in);
      out = in.get_object();
    } else {
      out = in;
    }
  } else if constexpr (std::same_as<T, bool>) {
    if (!in.is_bool()) return unexpected(where, "true or false", in);
    out = in.get_bool();
  } else if constexpr (std::is_arithmetic_v<T>) {
    boost::json::error_code failed;
    if (in.is_number()) out = in.to_number<T>(failed);
    if (!in.is_number() || failed) return unexpected(where, "a number in range", in);
  } else if constexpr (std::same_as<T, std::string>) {
    if (!in.is_string()) return unexpected(where, "a string", in);
    out = in.get_string();
  } else if constexpr (std::same_as<T, timestamp>) {
    if (!in.is_string()) return unexpected(where, "a time (RFC 3339)", in);
    auto parsed = parse_timestamp(in.get_string());
    if (!parsed) return unexpected(where, "a time (RFC 3339)", in);
    out = *parsed;
  } else if constexpr (described_enum<T>) {
    // The names are compared as C strings: a zero within would hide what follows it.
    if (!in.is_string() || in.get_string().find('\0') != json::string::npos ||
        !boost::describe::enum_from_string(in.get_string().c_str(), out)) {
      std::string names;
      boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>(
          [&](auto e) { names += (names.empty() ? "one of " : ", ") + std::string(e.name); });
      return unexpected(where, names, in);
    }
  } else if constexpr (kind<T>::number) {
    return read_value(out.value, in, where, unknown);
  } else if constexpr (kind<T>::identity) {
    if (!in.is_string()) return unexpected(where, "a UUID", in);
    auto parsed = T::parse(std::string_view(in.get_string()));
    if (!parsed) return unexpected(where, "a UUID", in);
    out = *parsed;
  } else if constexpr (kind<T>::optional) {
    if (in.is_null()) {
      out.reset();
      return ok();
    }
    return read_value(out.emplace(), in, where, unknown);
  } else if constexpr (kind<T>::vector) {
    const auto* array = in.if_array();
    if (array == nullptr) return unexpected(where, "a list", in);
    out.clear();
    for (const auto& element : *array) {
      typename T::value_type value{};
      TROUPE_TRY_VOID(read_value(value, element, where + "[" + std::to_string(out.size()) + "]", unknown));
      out.push_back(std::move(value));
    }
  } else if constexpr (kind<T>::map) {
    const auto* object = in.if_object();
    if (object == nullptr) return unexpected(where, "an object", in);
    out.clear();
    for (const auto& [name, element] : *object) {
      typename T::mapped_type value{};
      TROUPE_TRY_VOID(read_value(value, element, where + "." + std::string(name), unknown));
      out.emplace(name, std::move(value));
    }
  } else {
    static_assert(described<T>, "describe this struct with BOOST_DESCRIBE_STRUCT");
    return read_struct(out, in, where, unknown);
  }
  return ok();
}
}  // namespace detail

template <class T>
json::value to_json(const T& in) {
  if constexpr (std::same_as<T, json::value> || std::same_as<T, json::object> || std::is_arithmetic_v<T>) {
    return in;
  } else if constexpr (std::same_as<T, std::string>) {
    return json::value(valid_utf8(in));
  } else if constexpr (std::same_as<T, timestamp>) {
    return json::value(to_string(in));
  } else if constexpr (detail::described_enum<T>) {
    return json::value(boost::describe::enum_to_string(in, ""));
  } else if constexpr (detail::kind<T>::number) {
    return in.value;
  } else if constexpr (detail::kind<T>::identity) {
    return json::value(to_string(in));
  } else if constexpr (detail::kind<T>::optional) {
    return in ? to_json(*in) : json::value(nullptr);
  } else if constexpr (detail::kind<T>::vector) {
    json::array out;
    out.reserve(in.size());
    for (const auto& element : in) out.push_back(to_json(element));
    return out;
  } else if constexpr (detail::kind<T>::map) {
    json::object out;
    for (const auto& [name, element] : in) out.emplace(valid_utf8(name), to_json(element));
    return out;
  } else {
    static_assert(detail::described<T>, "describe this struct with BOOST_DESCRIBE_STRUCT");
    json::object out;
    boost::mp11::mp_for_each<detail::members_of<T>>(
        [&](auto member) { out.emplace(member.name, to_json(in.*member.pointer)); });
    return out;
  }
}

/// The value, or `invalid_argument` with the path to what is wrong. A member that is absent keeps its default, unless T
/// names it in `T::required`.
template <class T>
result<T> from_json(const json::value& in, std::string_view what, unknown_members unknown = unknown_members::ignored) {
  result<T> out{boost::system::in_place_value};
  if (auto read = detail::read_value(*out, in, std::string(what), unknown); !read) return read.error();
  return out;
}

template <class T>
std::string to_text(const T& in) {
  return json::serialize(to_json(in));
}

template <class T>
result<T> from_text(std::string_view text, std::string_view what, unknown_members unknown = unknown_members::ignored) {
  TROUPE_TRY(auto value, detail::parse(text, what));
  return from_json<T>(value, what, unknown);
}

/// The enumerator of the same name: between an enum of the API and its twin of metadata, so that neither room knows the
/// other. `same_name<api::job_state>(metadata::job_state::failed)`; a name that To lacks gives `otherwise`.
template <class To, class From>
To same_name(From from, To otherwise = To{}) {
  To to{};
  return boost::describe::enum_from_string(boost::describe::enum_to_string(from, ""), to) ? to : otherwise;
}

}  // namespace troupe::api
