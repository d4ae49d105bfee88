// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/guest_handshake.h"

#include "daemon/qmp_answer.h"
#include "domain/group_id.h"

#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

namespace tidemark::daemon {

namespace {

using nlohmann::json;

struct Talk {
    // The session keeps the talk, not the other way round.
    std::weak_ptr<QmpSession> session;
    QmpSession::Duration deadline;
    std::function<void(Result<Introduction>)> done;
    Introduction found;
};
using TalkPtr = std::shared_ptr<Talk>;

void ask(const TalkPtr &talk, const char *command, QmpSession::Reply reply) {
    if (const auto session = talk->session.lock())
        session->execute(command, json::object(), talk->deadline, std::move(reply));
}

void take_stats(const TalkPtr &talk, const Result<json> &answer) {
    if (!answer) {
        talk->done(fail(EPROTO, "it does not answer query-tiered-memory (" +
                                    answer.error().sentence + "): is it a QEMU without Tidemark?"));
        return;
    }
    Result<std::vector<BackendStats>> stats = parse_stats(*answer);
    if (!stats) {
        talk->done(tl::unexpected<Error>(stats.error()));
        return;
    }
    talk->found.stats = std::move(*stats);
    talk->found.stats_json = answer->dump();
    talk->done(std::move(talk->found));
}

void take_name(const TalkPtr &talk, const Result<json> &answer) {
    Result<std::string> name;
    if (!answer)
        name = tl::unexpected<Error>(answer.error());
    else if (!answer->empty()) // it was started without a name
        name = text_in(*answer, "name");
    if (!name) {
        talk->done(tl::unexpected<Error>(name.error()));
        return;
    }
    talk->found.name = *name;
    ask(talk, "query-tiered-memory",
        [talk](const Result<json> &stats) { take_stats(talk, stats); });
}

void take_uuid(const TalkPtr &talk, const Result<json> &answer) {
    const Result<std::string> text =
        answer ? text_in(*answer, "UUID") : tl::unexpected<Error>(answer.error());
    if (!text) {
        talk->done(tl::unexpected<Error>(text.error()));
        return;
    }
    const auto uuid = domain::normal_uuid(*text);
    if (!uuid || *uuid == "00000000-0000-0000-0000-000000000000") {
        talk->done(fail(EINVAL, "it has no UUID; start QEMU with -uuid"));
        return;
    }
    talk->found.uuid = *uuid;
    ask(talk, "query-name", [talk](const Result<json> &name) { take_name(talk, name); });
}

} // namespace

void introduce(const std::shared_ptr<QmpSession> &session, QmpSession::Duration deadline,
               std::function<void(Result<Introduction>)> done) {
    const auto talk = std::make_shared<Talk>(Talk{session, deadline, std::move(done), {}});
    ask(talk, "query-uuid", [talk](const Result<json> &uuid) { take_uuid(talk, uuid); });
}

} // namespace tidemark::daemon
