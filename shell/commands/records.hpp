#pragma once
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <shell/failure.hpp>
#include <string>
#include <string_view>

namespace troupe::shell {

class api_client;
class session;

/// «/datasets/clicks»: where the API has a dataset.
std::string dataset_path(const std::string& name);

/// What the API says of one dataset, with its partitions and what is wrong with it.
outcome<void> show_dataset(session& s, const boost::json::value& value);

/// Lines of JSON, as …/records answers them.
outcome<boost::json::array> json_lines(std::string_view text);

/// One answer of …/records from an offset on.
struct record_page {
  boost::json::array items;
  std::uint64_t next = 0;  ///< the offset to go on from
};

/// Asks for at most `limit` records of a partition; waits so long for the first one.
outcome<record_page> read_page(api_client& client, const std::string& dataset, std::uint32_t partition,
                               const std::string& from, std::uint64_t limit, std::uint64_t wait_ms);

/// Records in the format that the session has: lines as they are, records of a struct with columns of their own.
void show_records(session& s, const boost::json::array& items);

/// The same for what comes bit by bit: JSON as one line each, CSV with its header once (`first`), no alignment.
void show_more_records(session& s, const boost::json::array& items, bool first);

}  // namespace troupe::shell
