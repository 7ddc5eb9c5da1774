#pragma once
#include <actors/data/record_source.hpp>
#include <troupe/metadata/model.hpp>

#include "node/daemon/log_port.hpp"

namespace troupe::node {

/// A dataset that grows as text: what could be read when it was opened, open segments too, partition by partition.
class log_exporter final : public data::exporter {
 public:
  /// `ranges`: what to write of each partition.
  static result<std::unique_ptr<data::exporter>> make(log_port& logs, const metadata::dataset& d,
                                                      std::vector<logs::offset_range> ranges,
                                                      format::text_format format);
  boost::asio::awaitable<result<bytes>> next() override;

 private:
  log_exporter(log_port& logs, std::string name, std::vector<logs::offset_range> ranges, bool as_is,
               format::record_text text)
      : logs_(logs), name_(std::move(name)), ranges_(std::move(ranges)), as_is_(as_is), text_(std::move(text)) {}
  result<bytes> to_text(const logs::read_outcome& read);

  log_port& logs_;
  std::string name_;
  std::vector<logs::offset_range> ranges_;  ///< what is left; `begin` moves
  std::size_t at_ = 0;
  bool as_is_;  ///< lines as lines
  format::record_text text_;
  bool begun_ = false;
};

}  // namespace troupe::node
