// procmap probe: what the running kernel and sandbox support.
#pragma once

#include "arguments.hpp"
#include "json.hpp"

#include <procmap/probe.hpp>

#include <sys/utsname.h>

namespace cli {

inline constexpr char probe_help[] = R"(usage: procmap probe [OPTION...]

Prints what this kernel and sandbox support, regardless of --backend.

)";

inline int probe(const arguments& a) {
    if (!a.positional.empty()) usage_error("unexpected argument '" + std::string(a.positional.front()) + "'");
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
    if (a.json) {
        const auto boolean = [](bool b) { return b ? "true" : "false"; };
        json_object o;
        o.add("kernel", json_string(kernel)).add("ioctl", boolean(can.ioctl)).add("ioctl_errno", json_string_or_null(why_not));
        o.add("text", boolean(can.text)).add("live", boolean(can.live)).add("struct_size", json_number_or_null(can.struct_size));
        o.add("build_id_hazards", '[' + cves + ']');
        o.add("reads_what_is_mapped", boolean(can.build_id_hazards.has(procmap::hazard::reads_what_is_mapped))).put();
    } else {
        put("kernel   " + kernel + '\n');
        put("ioctl    " + (can.ioctl ? "yes" : why_not.empty() ? "no" : "no: " + why_not) + '\n');
        put(std::string("text     ") + (can.text ? "yes" : "no") + '\n');
        put(std::string("live     ") + (can.live ? "yes" : "no") + '\n');
        put("struct   " + (can.ioctl ? std::to_string(can.struct_size) + " bytes" : "none") + '\n');
        put("hazards  " + (cves.empty() ? "none" : cves + " (the kernel is not queried for build IDs)") + '\n');
        const bool from_kernel = can.ioctl && procmap::safe_to_ask(can.build_id_hazards);
        put(from_kernel ? "IDs      from the kernel for regular files, otherwise from files\n" : "IDs      from files\n");
    }
    check(can.error);
    return done;
}

}  // namespace cli
