#pragma once
#include <string>
#include <string_view>

/// The pages that browsers get; made of node/dashboard/*.html by the build.
namespace troupe::node {

extern const std::string_view dashboard_page;
/// How to get a link, for whoever has no session.
extern const std::string_view link_page;

/// The page with NONCE replaced, which its scripts and styles carry.
std::string with_nonce(std::string_view page, std::string_view nonce);

}  // namespace troupe::node
