#!/usr/bin/perl

# A real API server that freezes, dies or takes rights away, followed by a watch
# and by polling.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::FaultTest;
use Test::More;

my $t = DynamicWeight->new;
# A graceful end waits so long for requests under way, watches among them.
my $kube = $t->kube_cluster('A', apiserver => ['--request-timeout=5s']);
my $f = DynamicWeight::FaultTest->new($t, $kube);
$f->follow('watched', 'mode watch;');
$f->follow('polled', 'mode poll; interval 300ms;');
$f->start;

# It answers nothing, but its connections stay.

$f->begin('frozen');
$kube->freeze;
$f->failing(qr/timeout/, 'polled');
$f->failures('polled', 3);
# How long it is frozen at least.
my $thaw_at = time + ($ENV{TEST_FREEZE_SECONDS} // 0);
wait_for { time >= $thaw_at } 'the end of the frost', 600;
$kube->thaw;
$f->recovers;

$f->begin('killed');
$kube->stop_apiserver('KILL');
$f->failing(qr/connect/i, 'polled', 'watched');
$kube->start;
$f->recovers;

$f->begin('restarted');
$kube->restart('TERM');
$f->recovers;

# A watch goes on until it is begun again.

$f->begin('no rights');
$kube->revoke;
$f->failing(qr/HTTP 403: the token may not list .* RBAC/, 'polled');
$kube->stop_apiserver('KILL');
$kube->start;
$f->failing(qr/HTTP 403: the token may not/, 'watched');
$kube->grant;
$f->recovers;

$f->done;
