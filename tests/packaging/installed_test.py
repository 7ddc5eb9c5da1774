"""An installed troupe without its source tree: find_package, troupe_add_module, `module build`, and a job that runs."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ["TROUPE_BUILD"])
SOURCE = HERE.parents[1]
folder = pathlib.Path(tempfile.mkdtemp(prefix="troupe-installed-"))
prefix = folder / "prefix"
# The cluster of the integration tests, with the installed programs.
os.environ.update(TROUPE_BIN=str(prefix / "bin"), TROUPE_MODULES=str(folder / "project" / "build"))
sys.path.insert(0, str(SOURCE / "tests" / "integration"))
from support.cluster import Cluster, ClusterTest  # noqa: E402


def tearDownModule():
    shutil.rmtree(folder, ignore_errors=True)


def run(*command, **more):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=240, **more)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} gave {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


class Installed(ClusterTest):
    @classmethod
    def setUpClass(cls):
        cmake = os.environ["TROUPE_CMAKE"]
        run(cmake, "--install", BUILD, "--prefix", prefix)
        shutil.copytree(SOURCE / "examples" / "out_of_tree", folder / "project")
        run(cmake, "-G", "Ninja", "-S", folder / "project", "-B", folder / "project" / "build", f"-DCMAKE_PREFIX_PATH={prefix}",
            f"-DCMAKE_CXX_COMPILER={os.environ['TROUPE_CXX']}", "-DCMAKE_BUILD_TYPE=Release")
        run(cmake, "--build", folder / "project" / "build")
        cls.cluster = Cluster(nodes=1)
        cls.addClassCleanup(cls.cluster.close)

    def test_a_module_of_a_project_of_its_own_runs(self):
        text = "hollow follow\nyellow fellow mellow\nnation station ration\n"
        (self.cluster.folder / "text").write_text(text * 3)
        self.cluster.shell("import", self.cluster.folder / "text", "to", "text")
        self.cluster.load("rhymes")
        self.cluster.shell("run", "rhymes", "text", "to", "endings")
        self.assertEqual(self.cluster.export("endings"), b"low\t5\nion\t3\n")

    def test_module_build_takes_the_installed_headers(self):
        (self.cluster.folder / "minimal.cpp").write_text(
            "#include <troupe/sdk.hpp>\n"
            "TROUPE_JOB(lines, troupe::read_lines() | troupe::count_all() | troupe::write(\"lines\"));\n")
        environment = {k: v for k, v in self.cluster.environment.items() if k != "TROUPE_INCLUDE"}
        # The compiler itself says which headers it took.
        built = subprocess.run([prefix / "bin" / "troupe", "module", "build", "minimal.cpp"], cwd=self.cluster.folder,
                               env=environment | {"CXX": self.compiler_that_says_what_it_includes()}, capture_output=True, text=True, timeout=120)
        self.assertEqual(built.returncode, 0, built.stderr)
        self.assertIn(str(prefix / "include" / "troupe" / "sdk.hpp"), built.stderr)
        self.assertNotIn(str(SOURCE / "libruntime"), built.stderr)
        self.cluster.shell("module", "load", self.cluster.folder / "minimal.so")

    def compiler_that_says_what_it_includes(self):
        script = self.cluster.folder / "compiler"
        script.write_text(f"#!/bin/sh\nexec {os.environ['TROUPE_CXX']} -H \"$@\"\n")
        script.chmod(0o755)
        return str(script)

    def test_the_package_names_the_shell_and_refuses_another_version(self):
        check = folder / "check"
        check.mkdir()
        (check / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(check LANGUAGES CXX)\n"
            "find_package(troupe 9.0 QUIET)\nif(troupe_FOUND)\n  message(FATAL_ERROR \"took any version\")\nendif()\n"
            "find_package(troupe REQUIRED)\nif(NOT EXISTS ${TROUPE_SHELL})\n  message(FATAL_ERROR \"no shell at ${TROUPE_SHELL}\")\nendif()\n")
        run(os.environ["TROUPE_CMAKE"], "-G", "Ninja", "-S", check, "-B", check / "build", f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_CXX_COMPILER={os.environ['TROUPE_CXX']}")


if __name__ == "__main__":
    unittest.main()
