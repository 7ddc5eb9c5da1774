#pragma once
#include <string>
#include <troupe/api/list.hpp>
#include <troupe/transport/http_server.hpp>

namespace troupe::node {

inline constexpr std::uint64_t page_items_default = 1'000;
inline constexpr std::uint64_t page_items_max = 10'000;

/// One page of a collection: items are visited in the order of their keys, `cursor` is the key of the last one seen.
/// `for_each(after, take)` calls `take(key, item)` for items beyond `after`, in order, until it returns false.
template <class Item, class ForEach>
result<api::list<Item>> make_page(const transport::http_request& request, ForEach for_each) {
  const auto limit = request.query_number("limit", page_items_default, 1, page_items_max);
  if (!limit) return limit.error();
  const std::string after(request.query("cursor").value_or(""));
  api::list<Item> page;
  std::string last;
  for_each(after, [&](std::string key, Item item) {
    if (page.items.size() == *limit) {
      page.next_cursor = last;
      return false;
    }
    last = std::move(key);
    page.items.push_back(std::move(item));
    return true;
  });
  return page;
}

}  // namespace troupe::node
