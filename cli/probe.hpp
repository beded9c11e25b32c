// procmap probe
#pragma once

#include "arguments.hpp"
#include "json.hpp"
#include "output.hpp"

#include <procmap/maps.hpp>
#include <procmap/probe.hpp>

#include <sys/utsname.h>

#include <string>

namespace cli {

inline constexpr char probe_help[] = R"(usage: procmap probe [OPTION...]

What this kernel and this sandbox can do, whichever back-end is chosen.

  --json           as one JSON object
)";

inline int probe(const arguments& a) {
    if (!a.positional.empty()) usage_error("no such argument: " + std::string(a.positional.front()), "probe");
    const procmap::capabilities can = procmap::probe(a.how.proc);
    utsname names{};
    const std::string kernel = ::uname(&names) == 0 ? names.release : "unknown";
    const std::string why_not(procmap::errno_name(can.ioctl_errno));
    std::string cves;
    const auto add = [&](procmap::hazard hazard, const char* cve) {
        if (!can.build_id_hazards.has(hazard)) return;
        if (!cves.empty()) cves += a.json ? "," : " ";
        cves += a.json ? json_string(cve) : cve;
    };
    add(procmap::hazard::cve_2026_23002, "CVE-2026-23002");
    add(procmap::hazard::cve_2026_43178, "CVE-2026-43178");
    add(procmap::hazard::cve_2026_23199, "CVE-2026-23199");
    const bool ids = can.ioctl && procmap::safe_to_ask(can.build_id_hazards);
    const bool reads = can.build_id_hazards.has(procmap::hazard::reads_what_is_mapped);
    if (a.json) {
        const auto boolean = [](bool b) { return b ? "true" : "false"; };
        put("{\"kernel\":" + json_string(kernel) + ",\"ioctl\":" + boolean(can.ioctl) +
            ",\"ioctl_errno\":" + (why_not.empty() ? "null" : json_string(why_not)) + ",\"text\":" + boolean(can.text) +
            ",\"live\":" + boolean(can.live) + ",\"struct_size\":" + json_number(can.struct_size) + ",\"build_id_hazards\":[" +
            cves + "],\"reads_what_is_mapped\":" + boolean(reads) + "}\n");
    } else {
        put("kernel   " + kernel + '\n');
        put("ioctl    " + (can.ioctl ? "yes" : why_not.empty() ? "no" : "no: " + why_not) + '\n');
        put("text     " + std::string(can.text ? "yes" : "no") + '\n');
        put("live     " + std::string(can.live ? "yes" : "no") + '\n');
        put("struct   " + (can.ioctl ? std::to_string(can.struct_size) + " bytes" : "none") + '\n');
        put("hazards  " + (cves.empty() ? "none" : cves + " (of asking for build IDs: not done)") + '\n');
        put(std::string("IDs      ") + (!can.ioctl ? "from files: no ioctl" : !ids ? "from files: the kernel is not asked" :
            "from the kernel, of regular files only: it reads whatever is mapped") + '\n');
    }
    if (can.error.code == procmap::errc::none) return done;
    complain(can.error);
    return failed;
}

}  // namespace cli
