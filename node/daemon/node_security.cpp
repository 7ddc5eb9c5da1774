#include "node/daemon/node_security.hpp"

#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <troupe/base/random.hpp>
#include <troupe/base/text.hpp>
#include <troupe/storage/file.hpp>

#include "node/daemon/configuration.hpp"

namespace troupe::node {
namespace {

constexpr std::int64_t lifetime_day_s = 24LL * 60 * 60;
constexpr std::int64_t authority_lifetime_s = 10 * 365 * lifetime_day_s;
constexpr std::int64_t member_lifetime_s = 90 * lifetime_day_s;  ///< renewed after 60: a week of trouble does no harm
constexpr std::int64_t clocks_apart_s = 60 * 60;                 ///< a certificate begins that much earlier than now
constexpr std::size_t file_bytes_max = 1 << 20;
constexpr std::size_t seal_octets = 32;
constexpr const char* authority_key_name = "ca.key";

error no_authority() { return {errc::unavailable, "this node does not have the key of the cluster's authority"}; }

std::int64_t unix_s() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

security::validity from_now(std::int64_t seconds) {
  const auto now = unix_s();
  return {now - clocks_apart_s, now + seconds};
}

result<std::string> read_text(const std::string& path) {
  return storage::read_file(storage::file_operations::system(), path, file_bytes_max);
}

/// A secret that others can read is none.
result<std::string> read_secret(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && (status.st_mode & 077) != 0)
    return error{errc::permission_denied, path + " can be read by others: chmod 600 " + path};
  return read_text(path);
}

}  // namespace

node_security::node_security(const configuration& c, std::string data_directory)
    : folder_(std::move(data_directory) + "/security"),
      certificate_file_(c.certificate.empty() ? folder_ + "/node.crt" : c.certificate),
      key_file_(c.certificate_key.empty() ? folder_ + "/node.key" : c.certificate_key),
      authority_file_(c.certificate.empty() ? folder_ + "/ca.crt" : c.authority),
      seal_file_(c.authority_seal_file),
      given_(!c.certificate.empty()),
      on_loopback_(c.tls == "always") {}

std::string node_security::seal_path() const { return seal_file_.empty() ? folder_ + "/ca.seal" : seal_file_; }

result<security::material> node_security::read_material() const {
  security::material m;
  TROUPE_TRY(m.certificate_pem, read_text(certificate_file_));
  TROUPE_TRY(m.key_pem, read_secret(key_file_));
  TROUPE_TRY(m.authority_pem, read_text(authority_file_));
  return m;
}

result<void> node_security::use(const security::material& m) {
  const std::lock_guard lock(mutex_);
  if (credentials_) return credentials_->replace(m);
  TROUPE_TRY(credentials_, security::credentials::make(m, on_loopback_));
  named_ = credentials_->who();
  return ok();
}

result<void> node_security::load() {
  if (!given_ && !std::filesystem::exists(certificate_file_)) return ok();
  TROUPE_TRY(const auto m, read_material());
  if (const auto used = use(m); !used) return used.error().with_context(certificate_file_);
  mark_ = changed_mark();
  return load_authority();
}

result<void> node_security::load_authority() {
  const auto path = folder_ + "/" + authority_key_name;
  if (!std::filesystem::exists(path)) return ok();
  TROUPE_TRY(const auto seal, read_secret(seal_path()));
  TROUPE_TRY(const auto sealed, read_secret(path));
  TROUPE_TRY(auto key, security::private_key::parse(sealed, path, seal));
  TROUPE_TRY(const auto own_text, read_text(folder_ + "/ca.crt"));
  TROUPE_TRY(auto own, security::certificate::parse(own_text, folder_ + "/ca.crt"));
  TROUPE_TRY(auto made, security::authority::open(std::move(own), std::move(key)));
  const std::lock_guard lock(mutex_);
  authority_.emplace(std::move(made));
  return ok();
}

/// The key, sealed; the seal is made unless it is there, or was handed in from outside.
result<void> node_security::store(const security::authority& made) {
  auto& files = storage::file_operations::system();
  if (!std::filesystem::exists(seal_path())) {
    const auto seal = random_hex(seal_octets);
    const std::array<bytes_view, 1> parts{bytes_view(seal)};
    const std::filesystem::path path(seal_path());
    TROUPE_TRY_VOID(storage::replace_file(files, path.parent_path().string(), path.filename().string(), parts));
  }
  TROUPE_TRY(const auto seal, read_secret(seal_path()));
  const auto sealed = made.key().sealed_pem(seal);
  const std::array<bytes_view, 1> parts{bytes_view(sealed)};
  return storage::replace_file(files, folder_, authority_key_name, parts);
}

result<void> node_security::found(const security::member_name& who, const std::string& address) {
  TROUPE_TRY_VOID(storage::make_directory(storage::file_operations::system(), folder_));
  TROUPE_TRY(auto made, security::authority::create(who.cluster, from_now(authority_lifetime_s)));
  TROUPE_TRY_VOID(store(made));
  const auto authority = made.own().pem();
  {
    const std::lock_guard lock(mutex_);
    authority_.emplace(std::move(made));
  }
  TROUPE_TRY(const auto asked, ask());
  TROUPE_TRY(const auto certificate, sign(asked.request, who, {address}));
  return keep(asked, certificate, authority);
}

result<std::string> node_security::authority_key() const {
  const std::lock_guard lock(mutex_);
  if (!authority_) return no_authority();
  return authority_->key().pem();
}

result<void> node_security::keep_authority_key(const std::string& key_pem) {
  TROUPE_TRY(auto own, security::certificate::parse(authority_pem(), "the authority's certificate"));
  TROUPE_TRY(auto key, security::private_key::parse(key_pem, "the authority's key"));
  TROUPE_TRY(auto made, security::authority::open(std::move(own), std::move(key)));
  TROUPE_TRY_VOID(store(made));
  const std::lock_guard lock(mutex_);
  authority_.emplace(std::move(made));
  return ok();
}

result<void> node_security::forget_authority_key() {
  const auto path = folder_ + "/" + authority_key_name;
  if (auto& files = storage::file_operations::system(); files.unlink(path.c_str()) != 0 && errno != ENOENT)
    return error::from_errno("remove", path, errno);
  const std::lock_guard lock(mutex_);
  authority_.reset();
  return ok();
}

result<node_security::asking> node_security::ask() {
  TROUPE_TRY(auto key, security::private_key::generate());
  TROUPE_TRY(auto request, security::make_request(key));
  return asking{std::move(key), std::move(request)};
}

result<void> node_security::keep(const asking& asked, const std::string& certificate_pem,
                                 const std::string& authority_pem) {
  const security::material m{certificate_pem, asked.key.pem(), authority_pem};
  TROUPE_TRY_VOID(use(m));  // what does not fit together is not kept
  auto& files = storage::file_operations::system();
  TROUPE_TRY_VOID(storage::make_directory(files, folder_));
  // The certificate last: it is what makes the others count.
  const std::array<std::pair<const char*, bytes_view>, 3> all{
      {{"ca.crt", m.authority_pem}, {"node.key", m.key_pem}, {"node.crt", m.certificate_pem}}};
  for (const auto& [name, text] : all) {
    const std::array<bytes_view, 1> parts{text};
    TROUPE_TRY_VOID(storage::replace_file(files, folder_, name, parts));
  }
  return ok();
}

std::shared_ptr<security::credentials> node_security::credentials() const {
  const std::lock_guard lock(mutex_);
  return credentials_;
}

bool node_security::can_sign() const {
  const std::lock_guard lock(mutex_);
  return authority_.has_value();
}

result<std::string> node_security::sign(const std::string& request_pem, const security::member_name& who,
                                        const std::vector<std::string>& addresses) const {
  const std::lock_guard lock(mutex_);
  if (!authority_) return no_authority();
  TROUPE_TRY(const auto made, authority_->sign(request_pem, who, from_now(member_lifetime_s), addresses));
  return made.pem();
}

std::string node_security::authority_pem() const {
  const auto mine = credentials();
  return mine ? mine->authority_pem() : std::string();
}

std::int64_t node_security::seconds_left() const {
  const auto mine = credentials();
  return mine ? mine->validity().until_unix_s - unix_s() : 0;
}

bool node_security::wants_renewal() const {
  const auto mine = credentials();
  if (!mine || given_) return false;
  const auto valid = mine->validity();
  return unix_s() > valid.from_unix_s + (valid.until_unix_s - valid.from_unix_s) / 3 * 2;
}

bool node_security::may_tell_refusal() {
  const auto now = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex_);
  if (refusal_told_ && now - *refusal_told_ < std::chrono::seconds(10)) return false;
  refusal_told_ = now;
  return true;
}

std::string node_security::changed_mark() const {
  std::string out;
  for (const auto* path : {&certificate_file_, &key_file_, &authority_file_}) {
    struct stat status {};
    if (::stat(path->c_str(), &status) != 0) return {};
    out += std::to_string(status.st_ino) + ":" + std::to_string(status.st_mtim.tv_sec) + ":" +
           std::to_string(status.st_mtim.tv_nsec) + ":" + std::to_string(status.st_size) + " ";
  }
  return out;
}

result<bool> node_security::look_for_new_files() {
  if (!given_) return false;
  const auto now = changed_mark();
  if (now.empty() || now == mark_) return false;
  // Before they are read: what changes meanwhile is looked at again, and what is wrong is told once for each change.
  mark_ = now;
  TROUPE_TRY(const auto m, read_material());
  TROUPE_TRY_VOID(use(m));
  return true;
}

}  // namespace troupe::node
