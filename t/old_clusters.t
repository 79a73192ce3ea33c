#!/usr/bin/perl

# API servers of old, and such that don't give everything to everybody.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use JSON::PP;
use Test::More;

my $t = DynamicWeight->new;
my %version = (v1 => 36, v1beta1 => 19, endpoints => 16);
my @names = sort keys %version;
my @nodes = map "127.0.0.$_", 11 .. 13;
my %fake;
my $http = '';
for my $name (@names) {
    $fake{$name} = $t->fake_cluster(uc $name, '--kubernetes', $version{$name});
    $fake{$name}->app('prod', 'orders', 12, not_ready => 5);
    $fake{$name}->nodes(@nodes);
    $http .= <<"EOF_CONF";
    dynamic_weight_cluster $name {
        api            %%@{[uc $name]}%%;
        ingress_nodes  nodes=role=ingress;
        timeout        2s;
    }
    upstream $name {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  $name service=prod/orders port=%%BACKEND%%;
    }
EOF_CONF
}

# The token has rights in namespace team-a alone, beside the nodes.
$fake{scoped} = $t->fake_cluster('SCOPED');
$fake{scoped}->app($_, 'orders', 12) for 'team-a', 'team-b';
$fake{scoped}->nodes(@nodes);
my $slices = '/apis/discovery.k8s.io/v1';
$fake{scoped}->fault('status', code => 403, path_prefix => "$slices$_")
    for '/endpointslices', '/namespaces/team-b/';
$http .= <<"EOF_CONF";
    dynamic_weight_cluster scoped {
        api            %%SCOPED%%;
        ingress_nodes  nodes=role=ingress;
    }
    upstream team_a {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  scoped service=team-a/orders port=%%BACKEND%%;
    }
    upstream team_b {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  scoped service=team-b/orders port=%%BACKEND%%;
    }
EOF_CONF

$t->start_backends;
$t->conf(http => "    dynamic_weight_zone main:1m;\n$http"
    . $t->edge_server('v1'));
ok($t->start, 'nginx starts');

sub follows {
    my ($upstream, $pods, $what) = @_;
    ok($t->wait_weights($upstream, { '127.0.0.1' => 10,
        map { $_ => int($pods * 10 / 3) } @nodes }, 60), "$upstream: $what");
}

for my $name (@names) {
    follows($name, 12, 'the first list');
    wait_ok { $fake{$name}->requests->{open_watches} == 2 } "$name: watched";
    $fake{$name}->app('prod', 'orders', 15, not_ready => 2);
    follows($name, 15, 'an event');
    is($t->status->{clusters}{$name}{watch}{failures}, 0, "$name: no failure");
}

# 1.25 has v1 alone.
my $old = $fake{v1beta1};
$old->stop;
$old->{options} = ['--kubernetes', 25];
$old->start;
$old->app('prod', 'orders', 18);
follows('v1beta1', 18, 'the same after an upgrade');
like("@{[sort keys %{$t->status->{clusters}{v1beta1}{watch}{resource_versions}}]}",
    qr/endpointslices/, 'v1beta1: the source keeps its name');

follows('team_a', 12, 'its own namespace is enough');
$fake{scoped}->app('team-a', 'orders', 15);
follows('team_a', 15, 'and is followed');
like($t->log, qr/may not list endpointslices in namespace team-b/,
    'team_b: the log says what is lacking');
my $ready = http_get($t->port, '/dw/ready');
is($ready->{status}, 200, 'what is refused keeps nobody from being ready');
is(join(' ', map { $_->{upstream} } @{decode_json($ready->{body})->{lines}}),
    'team_b', 'and is named');
is(http_get($t->port, '/dw/ready?upstream=team_b')->{status}, 503,
    'its own upstream waits for it');
$fake{scoped}->heal;
follows('team_b', 12, 'granted: followed without a reload');

$t->done;
