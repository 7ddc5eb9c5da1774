#include <shell/cluster/paths.hpp>
#include <shell/commands/commands.hpp>
#include <shell/display/table.hpp>
#include <shell/language/duration.hpp>
#include <shell/session.hpp>
#include <troupe/api/security.hpp>
#include <troupe/transport/http_message.hpp>

/// Who may do what: tokens, users, revoked nodes, the audit log.
namespace troupe::shell {
namespace {

outcome<void> token_create(session& s, const arguments& given) {
  api::token_request wanted;
  if (given.has("--user")) wanted.user = given.get("--user");
  if (given.has("--for")) {
    TROUPE_TRY(const auto ms, read_duration("--for", given.get("--for")));
    if (ms < 1000) return usage_failure("--for: a token lives for a second at least");
    wanted.lifetime_s = static_cast<std::uint64_t>(ms / 1000);
  }
  TROUPE_TRY(const auto uses, given.number("--uses", 1, 1000));
  if (uses && wanted.user) return usage_failure("--uses is for tokens that let nodes join");
  if (uses) wanted.uses_max = static_cast<std::uint32_t>(*uses);
  TROUPE_TRY(auto* const client, s.client());
  auto request = request_for("POST", "/tokens");
  request.content_type = "application/json";
  request.body = api::to_text(wanted);
  TROUPE_TRY(const auto answer, client->send(std::move(request)));
  auto made = api::from_text<api::new_token>(answer.body, "new token");
  if (!made) return failure(made.error());
  if (given.has("--to-file")) {
    if (const auto written = paths::write_private_file(given.get("--to-file"), made->token + "\n"); !written) {
      // It is there and its text is known nowhere else.
      (void)client->remove("/tokens/" + made->id);
      return failure(written.error().with_context("no token was made"));
    }
    s.say("token " + made->id + " is in " + given.get("--to-file") + ", until " + api::to_string(made->expires_at));
    return done();
  }
  s.say("token " + made->id + ", until " + api::to_string(made->expires_at) + "; it is shown this once");
  s.print(made->token + "\n");
  return done();
}

outcome<void> token_list(session& s, const arguments&) {
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto items, client->items("/tokens"));
  show_items(s, items,
             {{"ID", "id"},
              {"KIND", "kind"},
              {"USER", "user"},
              {"STATE", "state"},
              {"USES", "uses"},
              {"OF", "uses_max"},
              {"CREATED", "created_at", shown_as::time},
              {"EXPIRES", "expires_at", shown_as::time}});
  return done();
}

outcome<void> token_revoke(session& s, const arguments& given) {
  TROUPE_TRY(auto* const client, s.client());
  for (const auto& id : given.words) {
    TROUPE_TRY_VOID(client->remove("/tokens/" + transport::percent_encode(id)));
    s.say("token " + id + " is revoked");
  }
  return done();
}

outcome<void> user_set(session& s, const arguments& given) {
  if (!given.has("--role")) return usage_failure("which role? --role viewer, submitter, operator or admin");
  TROUPE_TRY(auto* const client, s.client());
  auto request = request_for("PUT", "/users/" + transport::percent_encode(given.words[0]));
  request.content_type = "application/json";
  request.body = api::to_text(api::user_change{given.get("--role")});
  TROUPE_TRY_VOID(client->send(std::move(request)));
  s.say(given.words[0] + " has the role " + given.get("--role") + "; `token create --user " + given.words[0] +
        "` makes a token");
  return done();
}

outcome<void> user_list(session& s, const arguments&) {
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto items, client->items("/users"));
  show_items(s, items, {{"NAME", "name"}, {"ROLE", "role"}, {"CREATED", "created_at", shown_as::time}});
  return done();
}

outcome<void> user_delete(session& s, const arguments& given) {
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY_VOID(client->remove("/users/" + transport::percent_encode(given.words[0])));
  s.say(given.words[0] + " is no user any more, and the tokens are revoked");
  return done();
}

outcome<void> revoke(session& s, const arguments& given) {
  TROUPE_TRY(auto* const client, s.client());
  auto request = request_for("POST", "/nodes/" + transport::percent_encode(given.words[0]) + "/revoke");
  request.content_type = "application/json";
  request.body = api::to_text(api::revoke_request{given.get("--reason", "revoked by hand")});
  TROUPE_TRY_VOID(client->send(std::move(request)));
  s.say(given.words[0] + " is revoked: its certificate is not believed any more; `remove " + given.words[0] +
        "` gives its copies up");
  return done();
}

outcome<void> link(session& s, const arguments& given) {
  api::link_request wanted;
  if (given.has("--user")) wanted.user = given.get("--user");
  TROUPE_TRY(auto* const client, s.client());
  auto request = request_for("POST", "/links");
  request.content_type = "application/json";
  request.body = api::to_text(wanted);
  TROUPE_TRY(const auto answer, client->send(std::move(request)));
  auto made = api::from_text<api::new_link>(answer.body, "new link");
  if (!made) return failure(made.error());
  s.say("for " + made->user + ", once, until " + api::to_string(made->expires_at) + ":");
  s.print(made->url + "\n");
  return done();
}

outcome<void> audit(session& s, const arguments& given) {
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto last, given.number("--last", 1, 10'000));
  TROUPE_TRY(const auto answer, client->get("/audit?limit=10000"));
  using page = api::list<api::json::value>;
  TROUPE_TRY(auto list, api_client::typed<page>(answer, "audit log"));
  const auto wanted = static_cast<std::size_t>(last.value_or(100));
  boost::json::array shown;
  for (std::size_t i = list.items.size() > wanted ? list.items.size() - wanted : 0; i < list.items.size(); ++i)
    shown.push_back(list.items[i]);
  show_items(s, shown,
             {{"NUMBER", "number"},
              {"AT", "at", shown_as::time},
              {"WHO", "who"},
              {"FROM", "from"},
              {"WHAT", "what"},
              {"RESULT", "result"}});
  return done();
}

}  // namespace

std::vector<command> access_commands() {
  return {
      {.name = "token create",
       .group = "access",
       .usage = "token create",
       .summary = "Makes a token that lets a node join, or one of a user for the API",
       .help = "Its text is shown once: the cluster keeps a hash. A join token lives for an hour and lets one node in, "
               "unless told otherwise; a user's lives for 90 days and does what the user's role may.",
       .example = "token create --user ann --for 30d --to-file ann.token",
       .options = {{"--user", "NAME", "for the API, as this user"},
                   {"--for", "DURATION", "how long it lives: 10min, 12h, 30d"},
                   {"--uses", "N", "how many nodes may join with it"},
                   {"--to-file", "FILE", "into a file that only you can read, instead of the terminal"}},
       .run = token_create},
      {.name = "token list",
       .group = "access",
       .usage = "token list",
       .summary = "Lists tokens and their states",
       .example = "token list",
       .run = token_list},
      {.name = "token revoke",
       .group = "access",
       .usage = "token revoke ID…",
       .summary = "Makes tokens worthless at once",
       .example = "token revoke 5f0c2a9be1d47730",
       .words_min = 1,
       .words_max = 100,
       .run = token_revoke},
      {.name = "user set",
       .group = "access",
       .usage = "user set NAME",
       .summary = "Makes a user, or gives one another role",
       .help =
           "viewer: looks. submitter: also writes data, loads modules and runs jobs, which is to run code. operator: "
           "also adds, drains and removes nodes. admin: also users, tokens, revocation and the audit log.",
       .example = "user set ann --role submitter",
       .options = {{"--role", "ROLE", "viewer, submitter, operator or admin"}},
       .words_min = 1,
       .words_max = 1,
       .run = user_set},
      {.name = "user list",
       .group = "access",
       .usage = "user list",
       .summary = "Lists users and their roles",
       .example = "user list",
       .run = user_list},
      {.name = "user delete",
       .group = "access",
       .usage = "user delete NAME",
       .summary = "Ends a user, with all tokens",
       .example = "user delete ann",
       .words_min = 1,
       .words_max = 1,
       .run = user_delete},
      {.name = "revoke",
       .group = "access",
       .usage = "revoke NODE",
       .summary = "Stops believing a node's certificate, at once and for good",
       .help =
           "For a machine that was stolen or broken into: its connections are closed, and none of it is taken again. "
           "It still knows the cluster's token: doc/operating/security.md says what to do about that.",
       .example = "revoke node3 --reason \"its disk was stolen\"",
       .options = {{"--reason", "TEXT", "for those who read it later"}},
       .words_min = 1,
       .words_max = 1,
       .completes = word_kind::node,
       .run = revoke},
      {.name = "link",
       .group = "access",
       .usage = "link",
       .summary = "Prints a link that opens the dashboard in a browser",
       .help =
           "It works once, within a minute; the browser then has a session of twelve hours, with your role. Whoever "
           "has the cluster's token, which is no user, says whose link it shall be.",
       .example = "link --user ann",
       .options = {{"--user", "NAME", "of another user: for administrators"}},
       .run = link},
      {.name = "audit",
       .group = "access",
       .usage = "audit",
       .summary = "Shows who changed what, when and from where",
       .help = "Everything but appended records; the last 10,000 entries are kept.",
       .example = "audit --last 20",
       .options = {{"--last", "N", "entries to show; 100 by default"}},
       .run = audit},
  };
}

}  // namespace troupe::shell
