#pragma once
/// The one way to Catch2: Debian 12 has version 2, Debian 13 has version 3. `#include <support/catch.hpp>`.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif
#include <troupe/base/result.hpp>

/// A failed CHECK on a result shows the error's own words.
template <class T>
struct Catch::StringMaker<boost::system::result<T, troupe::error>> {
  static std::string convert(const boost::system::result<T, troupe::error>& r) {
    return r ? std::string("ok") : std::string(troupe::to_string(r.error().code())) + ": " + r.error().message();
  }
};

/// `REQUIRE_OK(r)` fails with the error's own words.
#define REQUIRE_OK(...)                                                \
  do {                                                                 \
    const auto& troupe_require_ok = (__VA_ARGS__);                     \
    if (!troupe_require_ok) FAIL(troupe_require_ok.error().message()); \
  } while (false)
