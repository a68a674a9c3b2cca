#include "jet_stream.hpp"

#include <gorgone/base64.hpp>

#include <fmt/format.h>

namespace gorgone::mcollective {
namespace {

// Error numbers of the JetStream API.
constexpr std::int64_t wrong_last_sequence = 10071, store_failed = 10077, no_message = 10037, no_such_sequence = 10043,
                       delete_failed = 10057, other_configuration = 10058, busy_from = 10004, no_leader = 10009, unavailable = 10008,
                       too_large = 10054, no_stream = 10059, id_in_process = 10158, no_resources = 10023, no_message_there = 404;

std::string text_at(const json::object& object, std::string_view key) {
  const auto* found = object.if_contains(key);
  return found && found->is_string() ? std::string(found->get_string()) : std::string();
}

std::uint64_t number_at(const json::object& object, std::string_view key) {
  const auto* found = object.if_contains(key);
  if (!found) return 0;
  boost::system::error_code ignored;
  return found->to_number<std::uint64_t>(ignored);
}

const json::object* object_at(const json::object& object, std::string_view key) {
  const auto* found = object.if_contains(key);
  return found ? found->if_object() : nullptr;
}

Result<json::object> parse(const std::string& text) {
  auto value = parse_json(text);
  if (!value || !value->is_object()) return Error{"the NATS cluster's answer is no JSON: " + printable(text)};
  return value->get_object();
}

Error error_of(const json::object& error) {
  const auto number = static_cast<std::int64_t>(number_at(error, "err_code"));
  Error told{text_at(error, "description")};
  if (number == wrong_last_sequence)
    told.code = "changed";
  else if (number == store_failed && told.message.starts_with("maximum"))
    told.code = "full";
  else if (number == no_stream)
    told.code = "no_stream";
  else if (number == no_message || number == no_such_sequence ||
           (number == delete_failed && told.message.find("no message") != std::string::npos))
    told.code = "none";
  else if (number == other_configuration)
    told.code = "other";
  else if (number == too_large)
    told.code = "too_large";
  else if (number == busy_from || number == no_leader || number == unavailable || number == store_failed || number == delete_failed ||
           number == id_in_process || number == no_resources)
    told.code = "away";
  return told;
}

}  // namespace

void JetStream::ask(const std::string& what, const json::object& question, Done<json::object> done) {
  NatsOutgoing message{"$JS.API." + what, {}, json::serialize(question)};
  connection_.ask(std::move(message), [done = std::move(done)](Result<NatsMessage> answer) {
    if (!answer) return done(answer.error());
    auto parsed = parse(answer->data);
    if (!parsed) return done(parsed.error());
    if (const auto* error = object_at(*parsed, "error")) return done(error_of(*error));
    done(std::move(*parsed));
  });
}

void JetStream::ensure(json::object configuration, Done<void> done) {
  const auto name = text_at(configuration, "name");
  auto made = [this, name, configuration, done](Result<json::object> answer) {
    if (answer) return done({});
    if (answer.error().code != "other") return done(answer.error());
    ask("STREAM.UPDATE." + name, configuration, [done](Result<json::object> updated) {
      if (updated)
        done({});
      else
        done(updated.error());
    });
  };
  ask("STREAM.CREATE." + name, configuration, std::move(made));
}

void JetStream::store(const std::string& subject, const std::string& id, std::string payload, std::optional<std::uint64_t> after,
                      Done<std::uint64_t> done) {
  NatsOutgoing message{subject, {}, std::move(payload)};
  if (!id.empty()) message.headers.emplace_back("Nats-Msg-Id", id);
  if (after) message.headers.emplace_back("Nats-Expected-Last-Subject-Sequence", std::to_string(*after));
  connection_.ask(std::move(message), [done = std::move(done)](Result<NatsMessage> answer) {
    if (!answer) return done(answer.error());
    // An answer that is none leaves open whether the message is there.
    const auto parsed = parse(answer->data);
    if (!parsed) return done(Error{parsed.error().message, "away"});
    if (const auto* error = object_at(*parsed, "error")) return done(error_of(*error));
    const auto sequence = number_at(*parsed, "seq");
    if (sequence == 0) return done(Error{"the NATS cluster's answer names no sequence: " + printable(answer->data), "away"});
    done(sequence);
  });
}

void JetStream::next(const std::string& stream, const std::string& subject, std::uint64_t from, Done<std::optional<Record>> done) {
  json::object question{{"seq", from}, {"next_by_subj", subject}};
  NatsOutgoing message{"$JS.API.DIRECT.GET." + stream, {}, json::serialize(question)};
  connection_.ask(std::move(message), [done = std::move(done)](Result<NatsMessage> answer) {
    if (!answer) return done(answer.error());
    if (answer->status == no_message_there) return done(std::optional<Record>());
    if (answer->status != 0 || answer->sequence == 0)
      return done(Error{fmt::format("the NATS cluster does not give the next message: status {}", answer->status)});
    Record record{answer->sequence, std::move(answer->data)};
    done(std::optional<Record>(std::move(record)));
  });
}

void JetStream::last(const std::string& stream, const std::string& subject, Done<std::optional<Record>> done) {
  const json::object question{{"last_by_subj", subject}};
  ask("STREAM.MSG.GET." + stream, question, [done = std::move(done)](Result<json::object> answer) {
    if (!answer && answer.error().code == "none") return done(std::optional<Record>());
    if (!answer) return done(answer.error());
    const auto* message = object_at(*answer, "message");
    if (!message) return done(Error{"the NATS cluster's answer holds no message"});
    Record record{number_at(*message, "seq"), base64_decode(text_at(*message, "data"))};
    done(std::optional<Record>(std::move(record)));
  });
}

void JetStream::remove(const std::string& stream, std::uint64_t sequence, Done<void> done) {
  const json::object question{{"seq", sequence}, {"no_erase", true}};
  ask("STREAM.MSG.DELETE." + stream, question, [done = std::move(done)](Result<json::object> answer) {
    if (answer || answer.error().code == "none")
      done({});
    else
      done(answer.error());
  });
}

void JetStream::use(const std::string& stream, Done<Use> done) {
  ask("STREAM.INFO." + stream, {}, [done = std::move(done)](Result<json::object> answer) {
    if (!answer) return done(answer.error());
    const auto* state = object_at(*answer, "state");
    if (!state) return done(Error{"the NATS cluster's answer holds no state"});
    done(Use{number_at(*state, "messages"), number_at(*state, "bytes"), number_at(*state, "last_seq")});
  });
}

}  // namespace gorgone::mcollective
