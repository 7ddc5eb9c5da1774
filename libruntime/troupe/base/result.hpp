#pragma once
#include <boost/system/result.hpp>
#include <troupe/base/error.hpp>

namespace troupe {

/// A value or an error. `if (!r) return r.error();` is the idiom; `*r` and `r->` reach the value.
template <class T>
using result = boost::system::result<T, error>;

/// What an operation without a value returns: `return ok;`
inline result<void> ok() { return result<void>{boost::system::in_place_value}; }

}  // namespace troupe

/// `TROUPE_TRY(auto x, f());` gives x its value or returns f's error from here. `TROUPE_TRY_VOID(f());` for results
/// without a value.
#define TROUPE_CONCAT_(a, b) a##b
#define TROUPE_CONCAT(a, b) TROUPE_CONCAT_(a, b)
#define TROUPE_TRY_IMPL_(tmp, declaration, ...) \
  auto tmp = (__VA_ARGS__);                     \
  if (!tmp) return tmp.error();                 \
  declaration = std::move(*tmp)
#define TROUPE_TRY(declaration, ...) TROUPE_TRY_IMPL_(TROUPE_CONCAT(troupe_try_, __LINE__), declaration, __VA_ARGS__)
#define TROUPE_TRY_VOID(...) \
  if (auto troupe_try_void = (__VA_ARGS__); !troupe_try_void) return troupe_try_void.error()
