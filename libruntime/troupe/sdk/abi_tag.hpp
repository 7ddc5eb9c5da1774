#pragma once
#include <features.h>

#include <cstddef>
#include <string_view>
#include <troupe/base/version.hpp>

/// What must be equal on both sides of a module's C table: the SDK (layout of the table and the shuffle's encoding),
/// the compiler's family and major version, the C++ library with its string ABI, and glibc. Written by the module when
/// it is compiled, compared by the worker that loads it.
///
/// Example: `troupe 0.1.0, gcc 12, libstdc++ 12 cxx11, glibc 2.36`
#define TROUPE_SDK_VERSION "0.1.0"

#define TROUPE_TEXT_(x) #x
#define TROUPE_TEXT(x) TROUPE_TEXT_(x)

#if defined(__clang__)
#define TROUPE_ABI_COMPILER "clang " TROUPE_TEXT(__clang_major__)
#elif defined(__GNUC__)
#define TROUPE_ABI_COMPILER "gcc " TROUPE_TEXT(__GNUC__)
#else
#error "troupe modules are compiled by gcc or clang"
#endif

#if !defined(_GLIBCXX_RELEASE)
#define TROUPE_ABI_LIBRARY "another C++ library"
#elif _GLIBCXX_USE_CXX11_ABI
#define TROUPE_ABI_LIBRARY "libstdc++ " TROUPE_TEXT(_GLIBCXX_RELEASE) " cxx11"
#else
#define TROUPE_ABI_LIBRARY "libstdc++ " TROUPE_TEXT(_GLIBCXX_RELEASE) " cxx98"
#endif

#define TROUPE_ABI_TAG                                                          \
  "troupe " TROUPE_SDK_VERSION ", " TROUPE_ABI_COMPILER ", " TROUPE_ABI_LIBRARY \
  ", glibc " TROUPE_TEXT(__GLIBC__) "." TROUPE_TEXT(__GLIBC_MINOR__)

namespace troupe::sdk {

static_assert(std::string_view(version_text) == TROUPE_SDK_VERSION, "the SDK's version is troupe's");
inline constexpr std::string_view abi_tag = TROUPE_ABI_TAG;

}  // namespace troupe::sdk
