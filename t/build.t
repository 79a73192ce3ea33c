#!/usr/bin/perl

# How it is built: what the module exports, and nginx's own way of building it
# from `config`, as a dynamic module and as a part of nginx.

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
    qr/./, 'the inner folders include no nginx header');

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

# nginx with the module in it, which `.ci/setup static` has built.

my $static = DynamicWeight->new(module => 'static',
    nginx => "$root/build/nginx-source/objs/nginx");
like(`$static->{nginx} -V 2>&1`, qr/--add-module=\Q$root\E/,
    'nginx is built with --add-module');

my $bj = $static->fake_cluster('BJ');
$bj->app('prod', 'orders', 6);
$bj->nodes('127.0.0.11', '127.0.0.12');
$static->start_backends;
$static->conf(http => <<"EOF" . $static->edge_server('orders'));
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
my ($status, $said) = $static->test_conf;
is($status, 0, 'it takes the directives without load_module') or diag($said);
ok($static->start, 'it starts');
ok($static->wait_weights('orders',
    {'127.0.0.1' => 10, '127.0.0.11' => 30, '127.0.0.12' => 30}),
    'it follows a cluster');

my $mark = $static->mark;
is(scalar(grep { http_get($static->port, '/')->{status} != 200 } 1 .. 70), 0,
    'it answers');
wait_for { $static->backend_requests($mark) >= 70 } 'the backends to log';
my $count = $static->backend_counts($mark);
for my $node ('127.0.0.11', '127.0.0.12') {
    cmp_ok(abs($count->{$node} - 30), '<=', 3, "it balances: $node");
}
$static->done;
