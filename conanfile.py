import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, load


class Procmap(ConanFile):
    name = "procmap"
    description = "Fast, safe queries of process memory mappings on Linux"
    license = "MIT"
    topics = ("linux", "procfs", "profiling", "symbolization", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    exports_sources = "include/*", "LICENSE"
    no_copy_source = True

    def set_version(self):
        header = load(self, f"{self.recipe_folder}/include/procmap/version.hpp")
        self.version = ".".join(re.findall(r"#define PROCMAP_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header))

    def export(self):
        copy(self, "include/procmap/version.hpp", self.recipe_folder, self.export_folder)

    def validate(self):
        check_min_cppstd(self, 20)
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration("procmap supports only Linux")

    def package_id(self):
        self.info.clear()

    def package(self):
        copy(self, "LICENSE", self.source_folder, f"{self.package_folder}/licenses")
        copy(self, "*.hpp", f"{self.source_folder}/include", f"{self.package_folder}/include")

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.set_property("cmake_file_name", "procmap")
        self.cpp_info.set_property("cmake_target_name", "procmap::procmap")
