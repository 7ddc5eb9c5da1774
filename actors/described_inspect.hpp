#pragma once
#include <caf/error.hpp>
#include <caf/meta/load_callback.hpp>
#include <caf/meta/type_name.hpp>
#include <caf/sec.hpp>
#include <troupe/base/codec.hpp>

/// CAF's view of a cluster message: one string, made by base/codec from the struct's description. So a message needs no
/// code of its own, travels by memcpy, and is validated on arrival as everything else is: bytes that do not decode are
/// an error of that message, never a crash.
namespace troupe::message {

template <class Inspector, class T>
requires codec::described<T>
typename Inspector::result_type inspect(Inspector& f, T& x) {
  if constexpr (Inspector::reads_state) {
    bytes encoded = codec::encode(x);
    return f(encoded);
  } else {
    bytes encoded;
    auto load = [&]() -> caf::error {
      auto decoded = codec::decode<T>(encoded, "cluster message");
      if (!decoded) return caf::sec::invalid_argument;
      x = std::move(*decoded);
      return caf::none;
    };
    return f(encoded, caf::meta::load_callback(load));
  }
}

}  // namespace troupe::message
