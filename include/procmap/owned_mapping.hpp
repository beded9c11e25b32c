// A mapping that owns its name and build ID, to be kept in a container.
//
//   std::vector<procmap::owned_mapping> kept;
//   for (const procmap::mapping& m : walk) kept.emplace_back(m);
//   for (const procmap::mapping& m : kept) use(m.name);
#pragma once

#include <procmap/version.hpp>

#include <string>
#include <utility>

#include <procmap/build_id.hpp>
#include <procmap/mapping.hpp>

namespace procmap::inline PROCMAP_ABI {

/// A mapping with its own copies of the name and the build ID. It is read as a mapping: functions that take `const mapping&` take it. For
/// all mappings of an address space, a snapshot needs less memory. Allocates for the name only.
class owned_mapping {
public:
    owned_mapping() noexcept = default;  ///< an empty mapping
    /// Copies a mapping. A build ID of more than build_id::capacity bytes is then not known.
    explicit owned_mapping(const mapping& m) : name_(m.name), id_(m.build_id.bytes()), mapping_(m) {
        if (id_.empty() && !m.build_id.empty()) mapping_.build_id_known = false;
        borrow();
    }

    /// Each copy owns its name. Moved from, it is empty.
    ///@{
    owned_mapping(const owned_mapping& other) : owned_mapping(other.mapping_) {}
    owned_mapping(owned_mapping&& other) noexcept { swap(other); }
    owned_mapping& operator=(owned_mapping other) noexcept {
        swap(other);
        return *this;
    }
    ~owned_mapping() = default;
    ///@}

    /// Returns the mapping, whose name and build ID borrow from this object until it is changed, moved from or destroyed.
    ///@{
    [[nodiscard]] operator const mapping&() const& noexcept PROCMAP_LIFETIMEBOUND { return mapping_; }
    operator const mapping&() const&& = delete;  // it would borrow from a temporary
    [[nodiscard]] const mapping* operator->() const noexcept PROCMAP_LIFETIMEBOUND { return &mapping_; }
    ///@}

    /// Exchanges two mappings.
    void swap(owned_mapping& other) noexcept {
        std::swap(name_, other.name_);
        std::swap(id_, other.id_);
        std::swap(mapping_, other.mapping_);
        borrow();
        other.borrow();
    }

private:
    void borrow() noexcept {
        mapping_.name = name_;
        mapping_.build_id = id_;
    }

    std::string name_{};
    procmap::build_id id_{};
    mapping mapping_{.name = name_};
};

}  // namespace procmap::inline PROCMAP_ABI
