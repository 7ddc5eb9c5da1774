#include <actors/monitoring/metadata_events.hpp>
#include <algorithm>

namespace troupe::actors {

namespace {

message::happening of(std::string kind, std::string node, std::string text) {
  return {{}, std::move(kind), std::move(node), std::move(text), {}};
}

std::optional<message::happening> member_changed(const metadata::set_member_state& c, const metadata::state& s) {
  const auto* m = s.find_member(c.id);
  if (m == nullptr) return std::nullopt;
  const auto why = c.reason.empty() ? std::string() : ": " + c.reason;
  switch (c.state) {
    case metadata::member_state::alive:
      return of("member_alive", m->name, m->name + " is heard again");
    case metadata::member_state::suspect:
      return of("member_suspect", m->name, m->name + " may be lost" + why);
    case metadata::member_state::dead:
      return of("member_lost", m->name, m->name + " is lost" + why + "; its tasks go elsewhere");
    case metadata::member_state::left:
      return of("member_left", m->name, m->name + " has left" + why);
  }
  return std::nullopt;
}

std::optional<message::happening> job_ended(job_id id, const metadata::state& s) {
  const auto* j = s.find_job(id);
  if (j == nullptr || s.running_jobs().contains(id)) return std::nullopt;
  const auto name = "job " + to_string(id) + " (" + j->name + ") ";
  auto h = of("job_finished", "", {});
  h.fields.emplace("job", to_string(id));
  switch (j->state) {
    case metadata::job_state::succeeded:
      h.text = name + "is done: " + j->output_name + " has " + std::to_string(j->output_records) + " records";
      if (j->lost_attempts > 0)
        h.text += "; " + std::to_string(j->lost_attempts) + " of its " + std::to_string(j->attempts) +
                  " attempts were lost and done again";
      break;
    case metadata::job_state::failed:
      h.kind = "job_failed";
      h.text = name + "failed: " + (j->error ? j->error->message : std::string("for an unknown reason"));
      if (j->error) {
        h.node = j->error->node;
        if (!j->error->dataset.empty()) h.fields.emplace("dataset", j->error->dataset);
        if (j->error->offset) h.fields.emplace("offset", std::to_string(*j->error->offset));
      }
      break;
    default:
      h.kind = "job_cancelled";
      h.text = name + "was cancelled";
      break;
  }
  return h;
}

}  // namespace

std::optional<message::happening> describe_change(const metadata::command& what,
                                                  const result<metadata::response>& answer, const metadata::state& s) {
  if (!answer) return std::nullopt;
  if (const auto* c = std::get_if<metadata::register_member>(&what)) {
    const auto* m = s.find_member(c->who.id);
    if (m == nullptr) return std::nullopt;
    return of("member_joined", m->name,
              m->name + (m->incarnation.value > 1 ? " is back" : " has joined") + " at " + m->address);
  }
  if (const auto* c = std::get_if<metadata::set_member_state>(&what)) return member_changed(*c, s);
  if (const auto* c = std::get_if<metadata::drain_member>(&what))
    return of(c->on ? "member_draining" : "member_stays", answer->text,
              c->on ? answer->text + " drains: its copies and its logs move to others"
                    : answer->text + " drains no more and takes part as before");
  if (const auto* c = std::get_if<metadata::remove_member>(&what))
    return of("member_removed", answer->text,
              answer->text + " was removed for good" + (c->accept_loss ? ", also what only it had" : ""));
  if (const auto* c = std::get_if<metadata::create_job>(&what)) {
    auto h = of("job_accepted", "", "job " + to_string(answer->job) + " (" + c->job_name + ") was accepted");
    h.fields.emplace("job", to_string(answer->job));
    return h;
  }
  if (const auto* c = std::get_if<metadata::report_damage>(&what)) {
    const auto* m = s.find_member(c->holder);
    const auto* d = s.find_dataset(c->dataset);
    if (m == nullptr || d == nullptr) return std::nullopt;
    auto h = of("copy_damaged", m->name,
                "the copy of segment " + to_string(c->segment) + " of dataset " + d->name + " on " + m->name +
                    " can't be read and does not count any more; the log of the node that read it says why");
    h.fields.emplace("segment", to_string(c->segment));
    h.fields.emplace("dataset", d->name);
    return h;
  }
  if (const auto* c = std::get_if<metadata::finish_job>(&what)) return job_ended(c->job, s);
  if (const auto* c = std::get_if<metadata::cancel_job>(&what)) return job_ended(c->job, s);
  return std::nullopt;
}

namespace {

std::optional<message::happening> shortage_of(const metadata::dataset* made, const metadata::job* job) {
  if (made == nullptr || made->state != metadata::dataset_state::ready) return std::nullopt;
  std::size_t segments = 0, short_of = 0;
  std::size_t fewest = made->copies;
  for (const auto& p : made->partitions)
    for (const auto& segment : p.segments) {
      ++segments;
      if (segment.holders.size() >= made->copies) continue;
      ++short_of;
      fewest = std::min(fewest, segment.holders.size());
    }
  if (short_of == 0) return std::nullopt;
  auto h = of("copies_missing", "",
              "dataset " + made->name + " has fewer copies than the " + std::to_string(made->copies) +
                  " that were asked for: " + std::to_string(short_of) + " of its " + std::to_string(segments) +
                  " segments, the worst with " + std::to_string(fewest) +
                  "; it is complete, but make it again when more nodes are alive to be as safe as was asked");
  h.fields.emplace("dataset", made->name);
  if (job != nullptr) h.fields.emplace("job", to_string(job->id));
  return h;
}

}  // namespace

std::vector<message::happening> describe_shortages(const metadata::command& what,
                                                   const result<metadata::response>& answer, const metadata::state& s) {
  std::vector<message::happening> out;
  const auto add = [&](dataset_id made, const metadata::job* job) {
    if (auto h = shortage_of(s.find_dataset(made), job)) out.push_back(std::move(*h));
  };
  if (!answer) return out;
  if (const auto* c = std::get_if<metadata::commit_import>(&what)) {
    add(c->dataset, nullptr);
  } else if (const auto* f = std::get_if<metadata::finish_job>(&what)) {
    const auto* job = s.find_job(f->job);
    if (job == nullptr || job->state != metadata::job_state::succeeded) return out;
    add(job->output, job);
    for (const auto& more : job->more_outputs) add(more.dataset, job);
  }
  return out;
}

}  // namespace troupe::actors
