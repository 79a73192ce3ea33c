#!/usr/bin/perl

# The documents: links lead somewhere, what they call a file of this project is
# one, directives are those that there are, and the README's configuration passes
# nginx -t.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use File::Basename qw(dirname);
use Test::More;

my $root = $DynamicWeight::root;
chdir $root or die "$root: $!\n";

sub slurp {
    my ($path) = @_;
    open my $f, '<', $path or die "$path: $!\n";
    local $/;
    return scalar <$f>;
}

# As GitHub makes them.
sub anchors {
    my ($text) = @_;
    $text =~ s/^```.*?^```$//gms;
    return map { my $a = lc; $a =~ s/[^\w\- ]//g; $a =~ tr/ /-/; $a => 1 }
        $text =~ /^#+ +(.*)$/gm;
}

my @documents = sort glob('*.md docs/*.md');
my %text = map { $_ => slurp($_) } @documents;
for my $document (@documents) {
    my @dead;
    for my $link ($text{$document} =~ /\]\(([^)\s]+)\)/g) {
        next if $link =~ /^https?:/;
        my ($file, $anchor) = split /#/, $link, 2;
        my $path = $file eq '' ? $document
            : dirname($document) . "/$file" =~ s{^\./}{}r;
        1 while $path =~ s{[^/]+/\.\./}{};
        $path =~ s{^\./}{};
        push @dead, $link if !-e $path;
        push @dead, $link
            if defined $anchor && -f $path && !{anchors(slurp($path))}->{$anchor};
    }
    is("@dead", '', "$document: every link leads somewhere");
    # What looks like a path from here, without what a build makes.
    my @gone = grep { my @there = glob; !grep { -e } @there }
        grep { !m{^build/} }
        $text{$document} =~
        m{`(?:\./)?((?:bench|conf\.d|docs|ngx_module|t|watcher|weightcalc)/[\w./*-]+)}g;
    is("@gone", '', "$document: every file that it names is there");
}

my $module = slurp('ngx_module/http/ngx_http_dynamic_weight_module.cc');
my $directives = $text{'docs/directives.md'};
for my $name ($module =~ /^ +\{ ngx_string\("(\w+)"\)/gm) {
    like($directives, qr/^#+ .*\Q$name\E\b/m, "$name has a section");
}
my $cluster = slurp('ngx_module/core/ngx_dynamic_weight_cluster.cc');
for my $name ($cluster =~ /^ +\{ "(\w+)",/gm) {
    like($directives, qr/\Q$name\E /, "$name of a cluster is described");
}

# ---- What the README says of itself.

my $readme = $text{'README.md'};
for my $program ($readme =~ m{^(?: {4})?((?:\./|\.ci/)\w+)(?= )}gm) {
    next if $program eq './configure';    # nginx's
    ok(-x $program, "$program is a program");
}
my ($parts) = $readme =~ m{\./check (\S+\|\S+) for one part};
my ($known) = slurp('check') =~ /usage: \.\/check \[(\S+)\]/;
is($parts, $known, 'the parts of ./check');
ok(-e "build/$1", "$1 is built") for $readme =~ m{install build/(\S+)}g;

# Its versions are those that the tests use here.

my ($table) = $readme =~ /(^\| tested by.*?)\n\n/ms;
my ($debian) = slurp('/etc/os-release') =~ /^VERSION_ID="?(\d+)/m;
my ($heads, undef, @rows) = map { [split / \| /, s/^\| | \|$//gr] }
    split /\n/, $table;
my ($column) = grep { $heads->[$_] eq "Debian $debian" } 1 .. $#$heads;
my $setup = slurp('.ci/setup');
my $of = sub {
    my ($library, $digits) = @_;
    return (`pkg-config --modversion $library` =~ /^($digits)/)[0];
};
my %version = (
    nginx => `/usr/sbin/nginx -v 2>&1` =~ m{nginx/([\d.]+)},
    'nginx, ' => $setup =~ /^newest_crate=\S+\+([\d.]+)$/m,
    Kubernetes => slurp('t/kube/kubernetes/go.mod')
        =~ m{k8s\.io/kubernetes v([\d.]+)},
    libcurl => $of->('libcurl', qr/\d+\.\d+/),
    cJSON => $of->('libcjson', qr/\d+\.\d+/),
    'cJSON, jsoncpp' => $of->('jsoncpp', qr/\d+\.\d+/),
    'yaml-cpp' => $of->('yaml-cpp', qr/\d+\.\d+/),
    'yaml-cpp, protozero' => (slurp('/usr/include/protozero/version.hpp')
        =~ /VERSION_STRING "(\d+\.\d+)/)[0],
    Abseil => $of->('absl_base', qr/\d+/),
    compilers => 'GCC ' . (`g++ -dumpversion` =~ /^(\d+)/)[0],
    compiler => 'clang ' . (`apt-cache depends clang` =~ /clang-(\d+)/)[0],
    compile => 'clang ' . ($setup =~ /\[variants\]='clang-(\d+)'/)[0],
);
# A column is a promise: another Debian has none.
for my $what ($column ? sort keys %version : ()) {
    my ($row) = grep { $_->[0] =~ /^\Q$what/ } @rows;
    like($row->[$column], qr/(?<![\d.])\Q$version{$what}\E(?![\d])/,
        "$row->[0]: $version{$what}");
}

my $t = DynamicWeight->new;
my ($conf) = $text{'README.md'} =~ /^```nginx\n(.*?)^```$/ms;
for my $file ($conf =~ m{(/etc/nginx/clusters/\S+?);}g) {
    my $name = $file =~ s{.*/}{}r;
    if ($name =~ /crt$/) {
        system("openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x "
            . "-keyout $t->{dir}/key -out $t->{dir}/$name 2> /dev/null");
    } else {
        $t->write_file($name, "token\n");
    }
    chmod 0644, "$t->{dir}/$name";
    $conf =~ s/\Q$file\E/%%DIR%%\/$name/;
}
$conf =~ s{/var/lib/nginx/dynamic_weight}{%%DIR%%/state};
$conf =~ s/^load_module.*\n//;
$conf =~ s/^http \{\n(.*)^\}\n/$1/ms;
$conf =~ s/listen 80;/listen @{[free_port()]};/;
$conf =~ s/127\.0\.0\.1:8088/@{['127.0.0.1:' . free_port()]}/;
$t->conf(http => $conf);
my ($status, $said) = $t->test_conf;
is($status, 0, "the README's configuration passes nginx -t") or diag($said);

$t->done;
