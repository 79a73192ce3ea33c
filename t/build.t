#!/usr/bin/perl

# How it is built: what the module exports, nginx's own way of building it from
# `config`, as a dynamic module and as a part of nginx, and CMake's for another
# nginx than Debian's. `.ci/setup static` has built what takes long.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use Test::More;

my $t = DynamicWeight->new;
my $dir = $t->dir;
my $root = $DynamicWeight::root;

my @exports = sort map { (split)[-1] }
    split /\n/, `nm -D --defined-only $root/build/ngx_http_dynamic_weight_module.so`;
is("@exports", 'ngx_module_names ngx_module_order ngx_modules',
    'nothing else is exported');

unlike(`grep -l 'ngx_' -r $root/weightcalc $root/watcher --include=*.h --include=*.cc | xargs -r grep -l '#include <ngx_'`,
    qr/./, 'the inner directories include no nginx header');

system("cp -rs /usr/share/nginx/src $dir/src && rm -f $dir/src/Makefile");
my $configured = system("cd $dir/src && bash -c '. ./conf_flags && ./configure "
    . "\"\${NGX_CONF_FLAGS[\@]}\" --add-dynamic-module=$root "
    . "--builddir=$dir/objs' > $dir/configure.log 2>&1");
is($configured, 0, 'configure takes --add-dynamic-module')
    or diag(`tail $dir/configure.log`);

my $conf = `cat $dir/objs/ngx_http_dynamic_weight_module_modules.c`;
like($conf, qr/"ngx_http_dynamic_weight_module",\s*"ngx_http_upstream_keepalive_module"/s,
    'the module comes before keepalive')
    or diag($conf);

# Of an nginx that is too old configure says so, instead of the compiler.

system("cd $dir/src/src/core && sed 's/^#define nginx_version .*/"
    . "#define nginx_version 1020002/' nginx.h > old.h && mv old.h nginx.h");
my $old = `cd $dir/src && ./configure --add-dynamic-module=$root --builddir=$dir/old 2>&1`;
isnt($?, 0, 'configure refuses an nginx that is too old');
like($old, qr/error: .* needs nginx 1\.22\.0 or newer; .* is 1020002\n\z/,
    '... and says from which on');

# An nginx without the parts that can be left out: what needs nginx's headers is
# compiled, as far as errors go.

my @without = map "--without-$_", qw(http-cache http_gzip_module
    http_rewrite_module http_upstream_hash_module http_upstream_ip_hash_module
    http_upstream_keepalive_module http_upstream_least_conn_module
    http_upstream_random_module http_upstream_zone_module pcre);
system('cp', '-rs', "$root/build/nginx-debian", "$dir/bare");
system("cd $dir/bare && ./configure @without --add-dynamic-module=$root "
    . "--builddir=$dir/bare/bare > $dir/bare.log 2>&1") == 0
    or diag(`tail $dir/bare.log`);
unlike(`cat $dir/bare/bare/ngx_auto_config.h`,
    qr/NGX_(SSL|HTTP_SSL|HTTP_CACHE|HTTP_UPSTREAM_ZONE|THREADS|PCRE|COMPAT)\b/,
    'an nginx without TLS, cache, zone, threads, regular expressions');
my $includes = join ' ', map "-isystem $dir/bare/$_", 'bare', map "src/$_",
    qw(core event event/modules os/unix http http/modules http/v2);
for my $folder (qw(core http)) {
    open my $f, '>', "$dir/$folder.cc" or die "$dir/$folder.cc: $!\n";
    print $f map "#include \"$_\"\n", glob "$root/ngx_module/$folder/*.cc";
    close $f;
    is(`g++ -std=c++17 -fsyntax-only -Wall -Wextra -I$root $includes $dir/$folder.cc 2>&1`,
        '', "... has ngx_module/$folder");
}

# A packager's CMake needs nothing of the tests.

my $cmake = `cmake -S $root -B $dir/packager -DBUILD_TESTING=OFF @{[
    map "-DCMAKE_DISABLE_FIND_PACKAGE_$_=ON", qw(Boost GTest benchmark)]} 2>&1`;
is($?, 0, 'CMake without tests takes no library of theirs') or diag($cmake);
my $targets = `cmake --build $dir/packager --target help`;
like($targets, qr/ngx_http_dynamic_weight_module\b/, '... and has the module');
unlike($targets, qr/_test\b|bench|fake_cluster/, '... and no test to build');
my $further = `$root/ngx_module/configure-nginx /usr/share/nginx/src $dir/further $dir/further-objs $root --with-compat --with-stream 2>&1`;
is($?, 0, 'an nginx with other parts than Debian\'s is configured') or diag($further);
my $parts = `cat $dir/further-objs/ngx_auto_config.h`;
like($parts, qr/NGX_STREAM\b|NGX_COMPAT\b/, '... with those that are named');
unlike($parts, qr/NGX_HTTP_SSL\b/, '... and no others');

# nginx with the module in it; the other tests run on it, too.

for my $version (qw(debian newest)) {
    like(`$root/build/nginx-$version/objs/nginx -V 2>&1`,
        qr/--add-module=\Q$root\E/, "$version: it is compiled into nginx");
}

# The newest nginx as it is, which loads what CMake has built for its source.

my $newest = DynamicWeight->new(
    nginx  => "$root/build/nginx-newest/plain/nginx",
    module => "$root/build/newest/ngx_http_dynamic_weight_module.so");
cmp_ok($newest->version, '>', $t->version, 'a newer nginx than Debian\'s');
unlike(`$newest->{nginx} -V 2>&1`, qr/--add-module/, 'without the module in it');

my $bj = $newest->fake_cluster('BJ');
$bj->app('prod', 'orders', 6);
$bj->nodes('127.0.0.11', '127.0.0.12');
$newest->start_backends;
$newest->conf(http => <<"EOF" . $newest->edge_server('orders'));
    dynamic_weight_zone main:1m;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
    }
    upstream orders {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  bj service=prod/orders port=%%BACKEND%%;
        keepalive      8;
    }
EOF
my ($status, $said) = $newest->test_conf;
is($status, 0, 'it loads the module and takes the directives') or diag($said);
ok($newest->start, 'it starts');
ok($newest->wait_weights('orders',
    {'127.0.0.1' => 10, '127.0.0.11' => 30, '127.0.0.12' => 30}),
    'it follows a cluster');

my $mark = $newest->mark;
is(scalar(grep { http_get($newest->port, '/')->{status} != 200 } 1 .. 70), 0,
    'it answers');
wait_for { $newest->backend_requests($mark) >= 70 } 'the backends to log';
my $count = $newest->backend_counts($mark);
for my $node ('127.0.0.11', '127.0.0.12') {
    cmp_ok(abs($count->{$node} - 30), '<=', 3, "it balances: $node");
}
$newest->done;
