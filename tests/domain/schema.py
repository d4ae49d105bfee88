#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The schema and the parser say the same: both accept every example and every good element below, and
both refuse every bad one. The parser is asked through the hook's `restore`, which only checks.

    schema.py HOOK    needs xmllint
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HOOKS = pathlib.Path(__file__).resolve().parents[2] / "libvirt-hooks"
SCHEMA = HOOKS / "tidemark.rng"
LIBVIRT_SCHEMA = pathlib.Path("/usr/share/libvirt/schemas/domain.rng")  # where libvirt is installed
NS = "xmlns:t='urn:tidemark:domain:1'"


def element(attributes="", children=""):
    return f"<t:memory {NS} {attributes}>{children}</t:memory>"


TIER = "<t:tier class='nvme' path='/t' {}/>"
AFFINITY, POLICY = "<t:affinity group='g'/>", "<t:policy/>"

GOOD = [
    element(), element("mode='tiered'"), element("dram='1%'"), element("dram='100%'"),
    element("dram='4096M'"), element("dram='64M' floor='16777216'"), element("dram='1GiB'"),
    element("dram='32768KiB' floor='17000000B'"), element("priority='1'"), element("priority='1000'"),
    element("", AFFINITY + POLICY), element("", POLICY + AFFINITY), element("", "<!-- c -->"),
    element("", "\n \t"), element("", "<?pi x?>" + POLICY),
    element("", "<t:affinity service='a.b_c-D9'/>"), element("", "<t:affinity group='%s'/>" % ("x" * 64)),
    element("", "<t:affinity group='7C0E5A4E-2f0b-4a3e-9d59-1f4a0d6b8c11'/>"),
    element("", "<t:label>a</t:label><t:tier name='fast'/><t:label> b  c </t:label>" + AFFINITY),
    element("", "<t:label>%s</t:label>" % ("x" * 128)), element("", "<t:label><![CDATA[x<y]]></t:label>"),
    element("", TIER.format("capacity='8GiB'") + "<t:tier class='qlc' path='/a b' write-budget='0'/>"),
    element("", TIER.format("write-budget='0GiB'")), element("", TIER.format("write-budget='12T'")),
    element("", "<t:policy eviction='fifo' prefetch='on' window='1' cold='1' slowdown='0'/>"),
    element("", "<t:policy eviction='lru' window='3600' cold='172800' slowdown='500' reuse='on'/>"),
    element("", "<t:policy window='2999' cold='171999' slowdown='499' learn='off' learn-writes='on' prefetch='off'/>"),
    element("", "<t:policy window='3599' cold='169999' slowdown='99'/>"),
    element("", "<t:policy window='999' cold='99999' slowdown='9'/>"),
    element("mode='off'"), element("mode='off' nonsense='1' dram='0'", "text<t:nonsense/><x y='1'/>"),
    "<memory xmlns='urn:tidemark:domain:1' dram='1G'><affinity service='s'/></memory>",
    "<other xmlns='urn:other'/>" + element() + "<more xmlns='urn:more'>text<a/></more>",
]
BAD = [
    element(f"{name}='{value}'")
    for name in ("dram", "floor")
    for value in ("", "0", "0%", "0GiB", "101%", "-1", "+1", "1.5G", "1GB", "4gib", "4 GiB", " 4GiB",
                  "4GiB ", "007", "%", "G", "0x10", "12345678901234567890", "half")
] + [
    element(f"priority='{value}'") for value in ("", "0", "1001", "-1", "010", "1.0", " 1", "high")
] + [
    element(f"mode='{value}'") for value in ("", "on", "Tiered", " off", "tiered ")
] + [
    element("", f"<t:policy {name}='{value}'/>")
    for name, values in {
        "window": ("0", "3601", "4000", "10000", "", "1s", "01"),
        "cold": ("0", "172801", "173000", "180000", "200000", "", "-5"),
        "slowdown": ("501", "600", "1000", "", "00", "1.5"),
        "eviction": ("", "LRU", "random", "lru "), "prefetch": ("", "yes", "true", "1", "ON"),
        "learn": ("maybe",), "learn-writes": ("maybe",), "reuse": ("maybe",), "colour": ("red",),
    }.items() for value in values
] + [
    element("", f"<t:affinity {attributes}/>")
    for attributes in ("", "group='a' service='b'", "group=''", "group='a b'", "group='-a'",
                       "service='%s'" % ("x" * 65), "group='&#228;'", "name='x'", "group='a' x='1'")
] + [
    element("", f"<t:tier {attributes}/>")
    for attributes in ("", "class='nvme'", "path='/x'", "name='a' path='/x'", "name='a' class='qlc'",
                       "class='tape' path='/x'", "class='nvme' path='x'", "class='nvme' path=''",
                       "class='nvme' path='/a&#10;b'", "name='fast' capacity='0'",
                       "name='fast' capacity='10%'", "name='fast' write-budget='-1'",
                       "name='fast' write-budget='10%'", "name='fast' size='1'", "name=''",
                       "name='a/b'", "class='NVME' path='/x'")
] + [
    element("dramm='1'"), element("t:dram='1G'"), element("xml:lang='en'"),
    element("", AFFINITY + AFFINITY), element("", POLICY + POLICY), element("", "text"),
    element("", "<t:tears/>"), element("", "<affinity group='a'/>"),
    element("", "<o:affinity xmlns:o='urn:o' group='a'/>"), element("", "<t:memory/>"),
    element("", "<t:affinity group='a'>x</t:affinity>"), element("", "<t:policy><t:label/></t:policy>"),
    element("", "<t:tier name='fast'><x/></t:tier>"),
    element("", "<t:label/>"), element("", "<t:label>  </t:label>"),
    element("", "<t:label>%s</t:label>" % ("x" * 129)), element("", "<t:label a='1'>x</t:label>"),
    element("", "<t:label><b>x</b></t:label>"),
    element() + element(), f"<t:memroy {NS}/>", element() + f"<t:more {NS}/>",
]


def domain(metadata):
    return ("<domain type='kvm'><name>d</name><uuid>5b1f1c4e-8f6c-4a0e-9d0a-0c5b6f0f7a01</uuid>"
            f"<memory unit='GiB'>4</memory><metadata>{metadata}</metadata></domain>")


class Judges:
    def __init__(self, hook, folder):
        self.hook = hook
        self.file = folder / "domain.xml"
        config = folder / "tidemark.toml"
        # Of each tier that an example or an element above names.
        config.write_text("[[tier]]\nname='fast'\nclass='nvme'\npath='/fast'\n")
        self.environment = dict(os.environ, TIDEMARK_CONFIG=str(config), TIDEMARK_RUN=str(folder))

    def schema(self, xml, schema=SCHEMA):
        self.file.write_text(xml)
        run = subprocess.run(["xmllint", "--noout", "--nonet", "--relaxng", schema, self.file],
                             capture_output=True, text=True, check=False)
        if run.returncode not in (0, 3):
            sys.exit(f"xmllint cannot judge {xml}: {run.stderr}")
        return run.returncode == 0, run.stderr

    def parser(self, xml):
        run = subprocess.run([self.hook, "d", "restore", "begin", "-"], input=xml, text=True,
                             env=self.environment, capture_output=True, check=False)
        if run.returncode not in (0, 1) or run.stdout:
            sys.exit(f"the hook left with {run.returncode} and said {run.stdout!r} for {xml}")
        return run.returncode == 0, run.stderr


def main():
    if shutil.which("xmllint") is None:
        print("skipped: there is no xmllint (libxml2-utils)")
        sys.exit(77)
    problems = []
    with tempfile.TemporaryDirectory(prefix="tidemark-schema-") as folder:
        judges = Judges(sys.argv[1], pathlib.Path(folder))
        examples = sorted((HOOKS / "examples").glob("*.xml"))
        if len(examples) < 4:
            problems.append(f"only {len(examples)} examples")
        for path in examples if LIBVIRT_SCHEMA.exists() else []:
            accepted, words = judges.schema(path.read_text(), LIBVIRT_SCHEMA)
            if not accepted:
                problems.append(f"libvirt's own schema refuses {path.name}\n  {words.strip()}")
        # The parser also looks at the host, on which Tidemark's QEMU need not be installed: an
        # <emulator> that is not there is no reason to refuse.
        cases = [(path.name, path.read_text(), True) for path in examples]
        cases += [(xml, domain(xml), True) for xml in GOOD] + [(xml, domain(xml), False) for xml in BAD]
        for name, xml, good in cases:
            for judge in (judges.schema, judges.parser):
                accepted, words = judge(xml)
                if accepted != good:
                    problems.append(f"{judge.__name__} {'accepts' if accepted else 'refuses'} {name}\n"
                                    f"  {words.strip()}")
    print("\n".join(problems))
    print(f"{len(examples)} examples, {len(GOOD)} good and {len(BAD)} bad elements, "
          f"{len(problems)} problem(s)")
    sys.exit(1 if problems else 0)


main()
