#pragma once
#include <boost/describe/class.hpp>
#include <optional>
#include <string>
#include <vector>

namespace troupe::api {

/// What every GET of a collection answers. `next_cursor` goes into `?cursor=` for what follows; null at the end.
template <class T>
struct list {
  std::vector<T> items;
  std::optional<std::string> next_cursor;
  BOOST_DESCRIBE_CLASS(list, (), (items, next_cursor), (), ())
};

}  // namespace troupe::api
