#pragma once
#include <troupe/api/actors.hpp>
#include <troupe/api/cluster.hpp>
#include <troupe/api/datasets.hpp>
#include <troupe/api/jobs.hpp>
#include <troupe/api/modules.hpp>
#include <troupe/metadata/state.hpp>
#include <troupe/telemetry/journal.hpp>

namespace troupe::logs {
struct dataset_status;
}

/// From what the cluster knows to what the HTTP API shows.
namespace troupe::node {

api::node to_api(const metadata::state& s, const metadata::member& m, member_id leader,
                 const std::vector<member_id>& voters);
api::dataset_summary to_summary(const metadata::dataset& d);
api::dataset to_api(const metadata::state& s, const metadata::dataset& d);
/// What only the leaders of its partitions know: where they end, and why they refuse.
void add_status(api::dataset& shown, const logs::dataset_status& status);
api::module_info to_api(const metadata::state& s, const metadata::module_info& m);
/// The job as metadata knows it: live counts of a running job are added by its supervisor.
api::job to_api(const metadata::state& s, const metadata::job& j);
api::stage_numbers to_api(const metadata::stage_summary& s);
/// Of a draft: what it would do, and what the last run over the same inputs saw.
api::job_plan to_plan(const metadata::state& s, const metadata::job& draft);
api::event to_api(const telemetry::event& e);

}  // namespace troupe::node
