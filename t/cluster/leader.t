#!/usr/bin/perl

# The etcd of a cluster has three members, of which another one leads now: by
# agreement, because the leader was killed, and because it hangs. Its API server
# may answer nothing for a moment, or answer with errors; the edge holds its weights
# and goes on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::FaultTest;
use Test::More;

my $t = DynamicWeight->new;
my $kube = $t->kube_cluster('A', members => 3);
my $f = DynamicWeight::FaultTest->new($t, $kube);
$f->follow('watched', 'mode watch;');
$f->follow('polled', 'mode poll; interval 300ms;');
$f->start;

# The API server asks each member in turn: it writes again when it has done so
# with all of them.
sub is_written {
    my ($what) = @_;
    my $in_a_row = 0;
    wait_ok {
        my ($status) = $kube->api(PATCH => '/api/v1/namespaces/prod', {
            metadata => { annotations => { after => "$what $in_a_row" } } },
            type => 'application/merge-patch+json', timeout => 5);
        $in_a_row = $status == 200 ? $in_a_row + 1 : 0;
        $in_a_row == 12
    } "$what: the API server writes", 120;
}

$f->begin('the leader hands over');
$kube->move_leader;
is_written('handed over');
$f->recovers;

$f->begin('the leader is killed');
my $leader = $kube->etcd_leader;
$kube->stop_member($leader, 'KILL');
ok($kube->await_leader($leader), 'another one leads');
is_written('killed');
$f->recovers;
$kube->start_member($leader);

# What the API server had asked it, watches among them, is never answered.
$f->begin('the leader hangs');
$leader = $kube->etcd_leader;
$kube->freeze_member($leader);
ok($kube->await_leader($leader), 'another one leads');
is_written('hung');
$f->recovers;
$kube->thaw_member($leader);

$f->done;
