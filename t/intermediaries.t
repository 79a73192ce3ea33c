#!/usr/bin/perl

# Load balancers between the edge and its API servers that cut quiet watches, or
# hold back what they say.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use DynamicWeight::Intermediary;
use Test::More;

my $t = DynamicWeight->new;

# Nothing is said of its own accord: every watch is cut.
my $fake = $t->fake_cluster('A', '--bookmark-interval-ms=3600000');
$fake->app('prod', 'orders', 12);
my @nodes = map "127.0.0.$_", 11 .. 13;
$fake->nodes(@nodes);
DynamicWeight::Intermediary->new($t, 'CUT_NGINX', $fake, 'nginx', cut => 2);
DynamicWeight::Intermediary->new($t, 'CUT_HAPROXY', $fake, 'haproxy',
    cut => 2);
DynamicWeight::Intermediary->new($t, 'HELD', $fake, 'nginx', buffer => 1);

my @names = ('cut_nginx', 'cut_haproxy', 'held');
my $http = '';
for my $name (@names) {
    $http .= <<"EOF_CONF";
    dynamic_weight_cluster $name {
        api            %%@{[uc $name]}%%;
        ingress_nodes  nodes=role=ingress;
        interval       1s;
        timeout        1s;
    }
    upstream $name {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  $name service=prod/orders port=%%BACKEND%%;
    }
EOF_CONF
}
$t->start_backends;
$t->conf(http => "    dynamic_weight_zone main:1m;\n$http"
    . $t->edge_server('held'));
ok($t->start, 'nginx starts');

sub watch { $t->status->{clusters}{$_[0]}{watch} }
sub follow {
    my ($pods) = @_;
    $fake->app('prod', 'orders', $pods);
    for my $name (@names) {
        ok($t->wait_weights($name, { '127.0.0.1' => 10,
            map { $_ => int($pods * 10 / 3) } @nodes }), "$name: $pods pods");
    }
}

follow(12);
wait_ok { watch($_)->{watches} >= 8 } "$_: watches are cut", 60
    for 'cut_nginx', 'cut_haproxy';
follow(15);
wait_ok { watch('held')->{last_error} =~ /buffers answers/ }
    'held: the status names the cause';
follow(18);
wait_ok { watch($_)->{watches} >= 14 } "$_: and again", 60
    for 'cut_nginx', 'cut_haproxy';

for my $name (@names) {
    my $watch = watch($name);
    is($watch->{failures}, 0, "$name: no failure");
    is($watch->{failing_since}, 0, "$name: not failing");
    ok($t->status->{clusters}{$name}{up}, "$name: up");
}
is(watch($_)->{lists}, 2, "$_: nothing was listed twice")
    for 'cut_nginx', 'cut_haproxy';

my $log = $t->log;
unlike($log, qr/weights hold|works again/, 'the log knows of no failure');
my @held = $log =~ /(cluster "held": .*buffers answers)/g;
is(scalar @held, 2, 'held: said once of each of both sources')
    or diag(join "\n", @held);

$t->done;
