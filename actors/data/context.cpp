#include <actors/data/context.hpp>
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <troupe/telemetry/journal.hpp>
#include <troupe/telemetry/log.hpp>

namespace troupe::data {

namespace {
constexpr unsigned disk_threads = 2;           // one syncs, another reads on
constexpr std::size_t disk_queued_max = 4096;  // far above what connections and writers can ask for at once
constexpr std::size_t damage_remembered_max = 100'000;
}  // namespace

std::int64_t unix_ms_now() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

context::context(boost::asio::io_context& on, data_plane_parts p, data_plane_options o)
    : parts(std::move(p)),
      options(o),
      io(on),
      disk(disk_threads, disk_queued_max),
      peers({[this] {
               transport::dial_request request;
               request.self = identity();
               const std::lock_guard lock(identity_mutex_);
               if (const auto own = transport::parse_endpoint(address_)) request.from = own->address();
               return request;
             },
             [this](member_id id) -> result<peer_pool::contact> {
               return parts.metadata.read([&](const metadata::state& s) -> result<peer_pool::contact> {
                 const auto* found = s.find_member(id);
                 if (found == nullptr)
                   return error{errc::unavailable, "member " + id.value.short_string() + " is not known here"};
                 if (found->state == metadata::member_state::dead || found->state == metadata::member_state::left)
                   return error{
                       errc::unavailable,
                       found->name + " is " + (found->state == metadata::member_state::dead ? "dead" : "gone")};
                 return peer_pool::contact{found->name, found->address};
               });
             }}),
      count{
          parts.metrics.get_counter("troupe_data_sent_bytes_total",
                                    "Payload bytes of blocks and segments sent to other members"),
          parts.metrics.get_counter("troupe_data_received_bytes_total",
                                    "Payload bytes of blocks and segments received from other members"),
          parts.metrics.get_counter("troupe_data_damaged_copies_total", "Copies of segments found damaged or missing"),
          parts.metrics.get_counter("troupe_data_replicas_lost_total",
                                    "Replicas that fell out while a segment was written"),
          parts.metrics.get_counter("troupe_data_files_collected_total",
                                    "Files removed because metadata does not need them"),
          parts.metrics.get_counter("troupe_data_imported_bytes_total", "Bytes taken by imports")},
      identity_(parts.self),
      address_(parts.address) {}

transport::identity context::identity() const {
  const std::lock_guard lock(identity_mutex_);
  return identity_;
}

void context::set_identity(transport::identity self, std::string address) {
  const std::lock_guard lock(identity_mutex_);
  identity_ = std::move(self);
  address_ = std::move(address);
}

std::string context::name_of(member_id id) const {
  return parts.metadata.read([&](const metadata::state& s) {
    const auto* found = s.find_member(id);
    return found != nullptr ? found->name : "member " + id.value.short_string();
  });
}

std::string context::describe(dataset_id id) const {
  return parts.metadata.read([&](const metadata::state& s) {
    const auto* found = s.find_dataset(id);
    return "dataset " + (found != nullptr ? found->name : to_string(id));
  });
}

std::vector<context::place> context::alive_members() const {
  const auto own = self();
  auto places = parts.metadata.read([&](const metadata::state& s) {
    std::vector<place> alive;
    for (const auto& [id, m] : s.members())
      if (m.state == metadata::member_state::alive || id == own) alive.push_back({id, m.name});
    return alive;
  });
  const auto here = std::find_if(places.begin(), places.end(), [&](const place& p) { return p.id == own; });
  std::rotate(places.begin(), here == places.end() ? places.begin() : here, places.end());
  return places;
}

boost::asio::awaitable<result<metadata::response>> context::propose(metadata::command what,
                                                                    std::chrono::milliseconds time_max) {
  const auto id = request_id::random();
  const auto ms = static_cast<std::uint32_t>(time_max.count());
  auto& service = parts.metadata;
  // The service keeps its own deadline; ours is only there in case that it never answers.
  auto pending = transport::await_result<metadata::response>(
      [&](metadata::service::reply then) { service.propose(std::move(what), id, ms, std::move(then)); },
      transport::after(time_max + std::chrono::seconds(2)));
  co_return co_await std::move(pending);
}

boost::asio::awaitable<result<void>> context::barrier(std::chrono::milliseconds time_max) {
  const auto ms = static_cast<std::uint32_t>(time_max.count());
  auto& service = parts.metadata;
  auto pending = transport::await_result<void>(
      [&](std::function<void(result<void>)> then) { service.barrier(ms, std::move(then)); },
      transport::after(time_max + std::chrono::seconds(2)));
  co_return co_await std::move(pending);
}

void context::report_damage(dataset_id dataset, segment_id segment, member_id holder, log_index made,
                            const std::string& why) {
  {
    const std::lock_guard lock(damage_mutex_);
    if (damage_reported_.size() >= damage_remembered_max) damage_reported_.clear();
    if (!damage_reported_.emplace(segment, holder, made).second) return;
  }
  count.damaged_copies.add();
  const auto name = name_of(holder);
  const auto text = "the copy of segment " + to_string(segment) + " of " + describe(dataset) + " on " + name +
                    " can't be read: " + why;
  parts.log.warning("data", text);  // the event comes with the metadata entry, so that every node shows it
  parts.metadata.propose(metadata::report_damage{dataset, segment, holder, made}, request_id::random(),
                         static_cast<std::uint32_t>(options.request_time_max.count()),
                         [weak = weak_from_this(), segment, holder, made](result<metadata::response> answer) {
                           // Not told: the next reader tells it again.
                           const auto self = weak.lock();
                           if (!self || answer || answer.error().code() != errc::unavailable) return;
                           const std::lock_guard lock(self->damage_mutex_);
                           self->damage_reported_.erase({segment, holder, made});
                         });
}

void context::forget_damage(segment_id segment) {
  const std::lock_guard lock(damage_mutex_);
  std::erase_if(damage_reported_, [&](const auto& told) { return std::get<segment_id>(told) == segment; });
}

}  // namespace troupe::data
