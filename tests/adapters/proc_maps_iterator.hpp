// The interface of gperftools' ProcMapsIterator (base/sysinfo.h). Unlike there, a newline in a name is a newline and not
// `\012`, and a malformed line ends the list.
#pragma once
#include <unistd.h>
#include <procmap/procmap.hpp>

namespace tcmalloc {

class ProcMapsIterator {
public:
    explicit ProcMapsIterator(pid_t pid)  // 0: this process
        : maps_((pid == 0 ? procmap::maps::open_self() : procmap::maps::open(pid)).value_or(procmap::maps{})) {}
    ProcMapsIterator(const ProcMapsIterator&) = delete;

    bool Valid() const { return maps_.fd().get() >= 0; }
    bool Next(uint64_t* start, uint64_t* end, char** flags, uint64_t* offset, int64_t* inode, char** filename) {
        if (at_ == walk_.end()) return false;
        if (start) *start = at_->start;
        if (end) *end = at_->end;
        if (offset) *offset = at_->offset;
        if (inode) *inode = static_cast<int64_t>(at_->inode);
        print([this](std::string_view text) { flags_[text.copy(flags_, sizeof flags_ - 1)] = '\0'; }, at_->permissions);
        name_[at_->name.copy(name_, sizeof name_ - 1)] = '\0';
        if (flags) *flags = flags_;
        if (filename) *filename = name_;
        ++at_;
        return true;
    }

private:
    procmap::maps maps_;
    procmap::mapping_walk walk_ = maps_.walk({.names = true, .gate = true});
    procmap::mapping_walk::iterator at_ = walk_.begin();
    char flags_[5], name_[4096];
};

}  // namespace tcmalloc
