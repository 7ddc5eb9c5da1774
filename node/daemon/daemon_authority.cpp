#include <algorithm>
#include <troupe/transport/endpoint.hpp>

#include "node/daemon/daemon_impl.hpp"
#include "node/daemon/enrolment.hpp"

/// Who signs certificates: the voters, so that no node's loss keeps others from joining or renewing. On the blocking
/// pool, every few seconds.
namespace troupe::node {
namespace {

constexpr std::uint64_t note_time_max_ms = 10'000;

/// Addresses of the members that live and for which `counts` holds, but this one.
template <class Counts>
std::vector<std::string> addresses_of(const metadata::state& s, member_id self, Counts counts) {
  std::vector<std::string> out;
  for (const auto& [id, m] : s.members())
    if (id != self && m.state == metadata::member_state::alive && counts(id)) out.push_back(m.address);
  return out;
}

bool signs(const metadata::state& s, member_id id) {
  const auto at = s.access().certificates.find(id);
  return at != s.access().certificates.end() && at->second.signs;
}

}  // namespace

void daemon::impl::renew_certificate() {
  const auto mine = security->credentials();
  auto asked = node_security::ask();
  result<void> renewed = asked ? ok() : result<void>(asked.error());
  if (asked && security->can_sign()) {
    const auto endpoint = transport::parse_endpoint(identity.address);
    const auto made = security->sign(asked->request, mine->who(), {endpoint->address().to_string()});
    renewed = made ? security->keep(*asked, *made, security->authority_pem()) : result<void>(made.error());
  } else if (asked) {
    enrolment who{identity.member_id, card.token, {}, security::trust::of_member(*mine)};
    who.seeds = metadata->read(
        [&](const metadata::state& s) { return addresses_of(s, identity.member_id, [](member_id) { return true; }); });
    const auto answer = enrol(who, asked->request);
    renewed = answer ? security->keep(*asked, answer->certificate, answer->authority) : result<void>(answer.error());
  }
  if (renewed)
    log.info("security", "renewed this node's certificate");
  else
    log.warning("security", "this node's certificate could not be renewed: " + renewed.error().message());
}

/// A voter without the authority's key asks one that has it; a member that votes no more forgets it once a voter signs.
void daemon::impl::share_authority() {
  if (security->is_given()) return;
  const auto voters = metadata->voters();
  const auto is_voter = [&](member_id id) { return std::find(voters.begin(), voters.end(), id) != voters.end(); };
  const bool votes = is_voter(identity.member_id);
  if (votes == security->can_sign()) return;
  const auto others = metadata->read([&](const metadata::state& s) {
    return addresses_of(s, identity.member_id, [&](member_id id) { return signs(s, id) && (votes || is_voter(id)); });
  });
  if (others.empty()) return;
  if (!votes) {
    if (const auto forgotten = security->forget_authority_key(); !forgotten)
      log.warning("security",
                  "this node votes no more, and the authority's key is still here: " + forgotten.error().message());
    else
      log.info("security", "this node votes no more: removed its copy of the authority's key");
    return;
  }
  enrolment who{identity.member_id, card.token, others, security::trust::of_member(*security->credentials())};
  const auto key = ask_for_authority_key(who);
  const auto kept = key ? security->keep_authority_key(*key) : result<void>(key.error());
  if (kept)
    log.info("security", "this node votes, so it has the authority's key from now on, and signs certificates");
  else if (kept.error().message() != authority_trouble)  // asked every few seconds, said once
    log.warning("security", "this node votes and cannot sign certificates: " + kept.error().message());
  authority_trouble = kept ? std::string() : kept.error().message();
}

/// Tells the cluster when this node's certificate ends and whether it signs, when that has changed.
void daemon::impl::note_certificate() {
  const metadata::certificate_note now{security->credentials()->validity().until_unix_s * 1000, security->can_sign()};
  const bool known = metadata->read([&](const metadata::state& s) {
    const auto at = s.access().certificates.find(identity.member_id);
    return at != s.access().certificates.end() && at->second == now;
  });
  if (known) return;
  metadata->propose(metadata::note_certificate{identity.member_id, now}, request_id::random(), note_time_max_ms,
                    [](const result<metadata::response>&) {});  // one that is lost is said again at the next look
}

}  // namespace troupe::node
