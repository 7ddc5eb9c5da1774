#include <boost/asio/post.hpp>
#include <chrono>
#include <troupe/security/token_text.hpp>
#include <troupe/storage/file.hpp>
#include <troupe/transport/endpoint.hpp>

#include "node/daemon/daemon_impl.hpp"
#include "node/daemon/enrolment.hpp"

/// How a daemon gets its certificate, renews it, and hears who is revoked.
namespace troupe::node {
namespace {

using namespace std::chrono_literals;
constexpr auto look_interval = 5s;
constexpr std::uint64_t looks_a_minute = 60s / look_interval;
constexpr std::int64_t day_s = 24LL * 60 * 60;
constexpr std::int64_t warn_before_s = 30 * day_s;
constexpr std::size_t authority_bytes_max = 1 << 20;

bool is_loopback(const std::string& address) {
  const auto endpoint = transport::parse_endpoint(address);
  return endpoint && endpoint->address().is_loopback();
}

}  // namespace

/// What lies in the directory, or is made or asked for now. Saves the identity: from here on the member is who it is.
result<void> daemon::impl::load_credentials() {
  security.emplace(config, directory->path());
  TROUPE_TRY_VOID(security->load());
  const bool fresh = !identity.keeps_log;
  if (const auto& named = security->named()) {
    if (fresh) {
      identity.member_id = named->member;
      identity.cluster_id = named->cluster;
    } else if (named->member != identity.member_id || named->cluster != identity.cluster_id) {
      return error{errc::failed_precondition, "the certificate is for " + named->to_uri() + ", but " + config.data +
                                                  " belongs to another member of troupe"};
    }
  }
  TROUPE_TRY_VOID(directory->save_identity(identity));
  const bool must_ask = security::token_text::parse(card.token).has_value();
  if (fresh && config.bootstrap && !security->credentials()) {
    TROUPE_TRY(const auto endpoint, transport::parse_endpoint(config.listen));
    const security::member_name who{identity.cluster_id, identity.member_id};
    TROUPE_TRY_VOID(security->found(who, endpoint.address().to_string()));
    log.info("security", "made the cluster's authority of certificates");
  } else if (!config.bootstrap && (must_ask || (fresh && !security->credentials()))) {
    TROUPE_TRY_VOID(ask_for_certificate());
  }
  card.credentials = security->credentials();
  if (!card.credentials && (config.tls == "always" || !is_loopback(config.listen)))
    return error{errc::failed_precondition,
                 "this node has to encrypt and has no certificate: " + config.data +
                     "/security/node.crt is missing. Restore it, or remove the node and let an empty data directory "
                     "join with a new token"};
  return ok();
}

/// With a join token, or the cluster's token on the cluster's own machine. There it may do without: nothing is
/// encrypted between loopback addresses anyway, unless it was asked for.
result<void> daemon::impl::ask_for_certificate() {
  enrolment who{identity.member_id, card.token, identity.seeds, nullptr};
  const auto token = security::token_text::parse(card.token);
  if (token && token->of != security::token_text::kind::join)
    return error{errc::invalid_argument, "this is a token for users; a node needs a join token (`token create`)"};
  bool optional = !token && config.tls != "always" && is_loopback(config.listen);
  for (const auto& seed : identity.seeds) optional = optional && is_loopback(seed);
  if (token) {
    TROUPE_TRY(who.trust, security::trust::of_fingerprint(token->fingerprint));
  } else if (!config.authority.empty()) {
    TROUPE_TRY(const auto text,
               storage::read_file(storage::file_operations::system(), config.authority, authority_bytes_max));
    TROUPE_TRY(who.trust, security::trust::of_authority(text));
  }
  who.patient = !optional;
  TROUPE_TRY(const auto asked, node_security::ask());
  const auto answer = enrol(who, asked.request);
  if (!answer && optional) {
    log.info("security", "this node goes without a certificate, on this machine only: " + answer.error().message());
    return ok();
  }
  if (!answer) return answer.error();
  TROUPE_TRY_VOID(security->keep(asked, answer->certificate, answer->authority));
  if (const auto mine = security->credentials();
      mine->who().member != identity.member_id || mine->who().cluster != answer->cluster)
    return error{errc::corrupted, "the cluster gave this node the certificate of another"};
  identity.cluster_id = answer->cluster;
  TROUPE_TRY_VOID(directory->save_identity(identity));
  card.token = answer->token;
  return keep_token(config, card.token);
}

void daemon::impl::refuse_revoked() {
  const auto mine = security->credentials();
  if (!mine) return;
  mine->set_revoked(metadata->read([](const metadata::state& s) { return s.distrusted(); }));
}

void daemon::impl::watch_certificates() {
  metrics.set_gauge_source("troupe_certificate_seconds_left", "Until this node's certificate ends; 0 without one",
                           [this] { return static_cast<double>(security->seconds_left()); });
  // The observer runs under the metadata's lock.
  unobserve.push_back(metadata->observe(
      [this](log_index, const metadata::command& c, const result<metadata::response>&, const metadata::state&) {
        if (std::holds_alternative<metadata::revoke_member>(c) || std::holds_alternative<metadata::remove_member>(c))
          boost::asio::post(blocking, [this] { refuse_revoked(); });
      }));
  refuse_revoked();
  certificate_timer.emplace(io);
  boost::asio::post(blocking, [this] { look_at_certificates(); });
  wait_for_certificates();
}

void daemon::impl::wait_for_certificates() {
  certificate_timer->expires_after(look_interval);
  certificate_timer->async_wait([this](const boost::system::error_code& failure) {
    if (failure) return;
    boost::asio::post(blocking, [this] { look_at_certificates(); });
    wait_for_certificates();
  });
}

/// On the blocking pool: reads files, signs or asks another node.
void daemon::impl::look_at_certificates() {
  if (looks_at_certificates.exchange(true)) return;
  struct end_of_look {
    std::atomic<bool>& flag;
    ~end_of_look() { flag = false; }
  } end{looks_at_certificates};
  const auto mine = security->credentials();
  if (!mine) return;
  refuse_revoked();  // a snapshot from the leader brings no commands to observe
  if (const auto changed = security->look_for_new_files(); !changed)
    log.warning("security", "the new certificate is not taken: " + changed.error().message());
  else if (*changed)
    log.info("security", "took the new certificate");
  if (certificate_looks++ % looks_a_minute == 0 && security->wants_renewal()) renew_certificate();
  share_authority();
  note_certificate();
  if (const auto left = security->seconds_left(); left < warn_before_s && !certificate_warning.exchange(true))
    log.warning("security", left <= 0 ? std::string("this node's certificate has expired: the others refuse it")
                                      : "this node's certificate ends in " + std::to_string(left / day_s) + " days");
  else if (left >= warn_before_s)
    certificate_warning = false;
}

}  // namespace troupe::node
